/**
 * The upstreams of the interop table: real servers, and the ways Postern talks to them.
 * @module
 */
import * as fs from "node:fs";
import * as path from "node:path";
import type { TestIdentity } from "../support/certificates.ts";
import { eximMissing, eximVersion, startExim } from "./exim.ts";
import { Inbox } from "./inbox.ts";
import { VERSION } from "../../src/version.ts";
import { mustRun } from "./programs.ts";
import { postfixMissing, postfixVersion, startPostfix } from "./postfix.ts";

/** One way to one server, as Postern's configuration has it. */
export interface Way {
  /** Also its domain: `<name>.test`. */
  readonly name: string;
  /** In the words of the table. */
  readonly label: string;
  /** Keys of the table `[upstreams.NAME]`. */
  readonly toml: string;
  readonly inbox: Inbox;
}

/** A server, whether it is here or not. */
export interface Upstream {
  /** Why it cannot be used here; undefined: it can. */
  missing(): string | undefined;
  version(): Promise<string>;
  /** Names of its ways. */
  readonly ways: readonly string[];
  start(context: UpstreamContext): RunningUpstream | Promise<RunningUpstream>;
}

/** A server that runs. */
export interface RunningUpstream extends AsyncDisposable {
  readonly ways: readonly Way[];
  /** For the message of a failed test. */
  log(): string;
}

/** What a server is started with. */
export interface UpstreamContext {
  readonly dir: string;
  /** Certificate of `127.0.0.1`, and the file with its authority. */
  readonly leaf: TestIdentity;
  readonly caFile: string;
}

/** Login of those servers that want one. */
const LOGIN = { user: "postern", password: "let me pass" };

/** The embedded mailbox, in the folder that Postern's configuration calls `./mail`. */
const maildir: Upstream = {
  missing: () => undefined,
  version: () => Promise.resolve(VERSION),
  ways: ["maildir"],
  start: ({ dir }) => ({
    ways: [{
      name: "maildir",
      label: "embedded Maildir",
      toml: 'servers = ["maildir:./mail"]',
      inbox: new Inbox(path.join(dir, "mail"), false),
    }],
    log: () => "",
    [Symbol.asyncDispose]: () => Promise.resolve(),
  }),
};

/** Names of the ways that tell Postfix who the client is. */
export const IDENTITY_WAYS = ["xclient", "xforward", "proxy-v1", "proxy-v2"] as const;

/** Postfix, delivering by virtual(8). */
const postfix: Upstream = {
  missing: postfixMissing,
  version: postfixVersion,
  ways: ["postfix", "postfix-starttls", "postfix-implicit", ...IDENTITY_WAYS],
  async start(context) {
    const mail = path.join(context.dir, "postfix-mail");
    fs.mkdirSync(mail);
    // virtual(8) delivers as nobody.
    await mustRun("chown", ["65534:65534", mail]);
    const chain = path.join(context.dir, "postfix-chain.pem");
    fs.writeFileSync(chain, `${context.leaf.key}${context.leaf.cert}`, { mode: 0o600 });
    const running = await startPostfix({
      dir: context.dir,
      ports: 4,
      configure: ([smtp, smtps, trusting, proxied]) => ({
        main: [
          `virtual_mailbox_domains = ${this.ways.map((name) => `${name}.test`).join(" ")}`,
          `virtual_mailbox_base = ${mail}`,
          "virtual_mailbox_maps = static:all/",
          "virtual_uid_maps = static:65534",
          "virtual_gid_maps = static:65534",
          `smtpd_tls_chain_files = ${chain}`,
          "smtpd_tls_security_level = may",
        ],
        master: [
          `127.0.0.1:${smtp} inet n - n - - smtpd`,
          `127.0.0.1:${smtps} inet n - n - - smtpd -o smtpd_tls_wrappermode=yes`,
          `127.0.0.1:${trusting} inet n - n - - smtpd -o smtpd_authorized_xclient_hosts=127.0.0.1` +
          " -o smtpd_authorized_xforward_hosts=127.0.0.1",
          `127.0.0.1:${proxied} inet n - n - - smtpd -o smtpd_upstream_proxy_protocol=haproxy`,
        ],
      }),
    });
    return {
      ways: postfixWays(running.ports, context, new Inbox(mail, true)),
      log: () => running.log,
      [Symbol.asyncDispose]: () => running[Symbol.asyncDispose](),
    };
  },
};

function postfixWays(
  [smtp, smtps, trusting, proxied]: readonly number[],
  { caFile }: UpstreamContext,
  inbox: Inbox,
): Way[] {
  const verified = `tls = "verify"\nca = "${caFile}"`;
  const plain = 'tls = "none"';
  return [
    { name: "postfix", label: "Postfix, plain", toml: server(`127.0.0.1:${smtp}`, plain), inbox },
    {
      name: "postfix-starttls",
      label: "Postfix, STARTTLS",
      toml: server(`127.0.0.1:${smtp}`, verified),
      inbox,
    },
    {
      name: "postfix-implicit",
      label: "Postfix, implicit TLS",
      toml: server(`smtps://127.0.0.1:${smtps}`, verified),
      inbox,
    },
    ...IDENTITY_WAYS.map((name) => {
      const port = name.startsWith("proxy") ? proxied : trusting;
      const toml = server(`127.0.0.1:${port}`, `${plain}\nidentity = "${name}"`);
      return { name, label: `Postfix, ${name}`, toml, inbox };
    }),
  ];
}

/** Exim, delivering by appendfile. Under TLS it wants a login. */
const exim: Upstream = {
  missing: eximMissing,
  version: eximVersion,
  ways: ["exim", "exim-starttls", "exim-implicit"],
  async start(context) {
    const running = await startExim({ dir: context.dir, ...context.leaf, ...LOGIN });
    const inbox = new Inbox(running.mail, true);
    const secured = `tls = "verify"\nca = "${context.caFile}"\n` +
      `auth = { user = "${LOGIN.user}", password = "${LOGIN.password}" }`;
    const plain = `127.0.0.1:${running.plainPort}`;
    return {
      ways: [
        { name: "exim", label: "Exim, plain", toml: server(plain, 'tls = "none"'), inbox },
        {
          name: "exim-starttls",
          label: "Exim, STARTTLS + AUTH",
          toml: server(plain, secured),
          inbox,
        },
        {
          name: "exim-implicit",
          label: "Exim, implicit TLS + AUTH",
          toml: server(`smtps://127.0.0.1:${running.implicitPort}`, secured),
          inbox,
        },
      ],
      log: () => running.log,
      [Symbol.asyncDispose]: () => running[Symbol.asyncDispose](),
    };
  },
};

function server(address: string, more: string): string {
  return `servers = ["${address}"]\n${more}`;
}

/** All of them, by the name of their row. */
export const UPSTREAMS: ReadonlyMap<string, Upstream> = new Map([
  ["Maildir", maildir],
  ["Postfix", postfix],
  ["Exim", exim],
]);
