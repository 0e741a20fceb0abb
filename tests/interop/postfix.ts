/**
 * A private Postfix: its own folders, its own ports, ended with the test. It serves as an upstream that delivers into a
 * Maildir, and as a client: what it is given goes out by smtp(8).
 * @module
 */
import * as fs from "node:fs";
import * as path from "node:path";
import process from "node:process";
import { eventually, findProgram, freePorts, greeted, mustRun, Service } from "./programs.ts";

/** What a private Postfix is made from. */
export interface PostfixOptions {
  /** Folder of its own; others must be able to enter it. */
  readonly dir: string;
  /** How many ports it needs. */
  readonly ports: number;
  /** Lines of main.cf and master.cf, for the ports it got. */
  readonly configure: (ports: readonly number[]) => {
    readonly main: readonly string[];
    readonly master: readonly string[];
  };
}

/** Why there can be no private Postfix here; undefined: there can. */
export function postfixMissing(): string | undefined {
  if (findProgram("postfix") === undefined) return "Postfix is not installed";
  if (process.getuid?.() !== 0) return "Postfix can only be started by root";
  return undefined;
}

/** The version that is installed. */
export function postfixVersion(): Promise<string> {
  return builtIn("mail_version");
}

/** A parameter's value as Postfix was built with it. */
async function builtIn(parameter: string): Promise<string> {
  const { stdout } = await mustRun(findProgram("postconf") ?? "postconf", ["-d", "-h", parameter]);
  return stdout.trim();
}

/** A running Postfix. */
export class Postfix implements AsyncDisposable {
  readonly ports: readonly number[];
  readonly dir: string;
  readonly #service: Service;

  constructor(dir: string, ports: readonly number[], service: Service) {
    this.dir = dir;
    this.ports = ports;
    this.#service = service;
  }

  /** Its log so far. */
  get log(): string {
    const file = path.join(this.dir, "maillog");
    return fs.existsSync(file) ? fs.readFileSync(file, "utf8") : "";
  }

  /** Resolves when a message of its queue has been sent; fails with the log when it was deferred or refused. */
  async sent(queueId: string): Promise<void> {
    const line = await eventually(
      () => this.log.split("\n").find((each) => each.includes(`${queueId}: to=`)),
      () => `Postfix to send ${queueId}\n${this.log.slice(-3000)}`,
    );
    if (!line.includes("status=sent")) throw new Error(`Postfix did not send\n${this.log}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#service.stop();
  }
}

/** Starts a private Postfix; other ports are tried when somebody takes one in between. */
export async function startPostfix(options: PostfixOptions): Promise<Postfix> {
  for (let attempt = 1;; attempt++) {
    const ports = await freePorts(options.ports);
    const dir = path.join(options.dir, `postfix-${attempt}`);
    await configure(dir, options.configure(ports));
    // Not by "postfix start-fg", whose shell would be the one to get our signals. "-d": it stays the child it is.
    const etc = path.join(dir, "etc");
    const service = new Service(path.join(await builtIn("daemon_directory"), "master"), [
      "-c",
      etc,
      "-d",
    ]);
    const postfix = new Postfix(dir, ports, service);
    try {
      await greeted(service, ports);
      return postfix;
    } catch (error) {
      await service.stop();
      if (attempt === 3) throw new Error(`${String(error)}\n${postfix.log}`);
    }
  }
}

async function configure(
  dir: string,
  own: { readonly main: readonly string[]; readonly master: readonly string[] },
): Promise<void> {
  const etc = path.join(dir, "etc");
  for (const folder of ["etc", "data", "spool", "spool/pid"]) {
    fs.mkdirSync(path.join(dir, folder), { recursive: true });
  }
  await mustRun("chown", ["postfix", path.join(dir, "data")]);
  const queues = QUEUES.map((name) => path.join(dir, "spool", name));
  for (const queue of queues) fs.mkdirSync(queue);
  await mustRun("chown", ["postfix", ...queues]);
  fs.writeFileSync(path.join(etc, "dynamicmaps.cf"), "");
  fs.writeFileSync(
    path.join(etc, "main.cf"),
    [
      "compatibility_level = 3.6",
      `config_directory = ${etc}`,
      `queue_directory = ${dir}/spool`,
      `data_directory = ${dir}/data`,
      `maillog_file = ${dir}/maillog`,
      `maillog_file_prefixes = ${dir}`,
      "myhostname = postfix.example.net",
      "mydestination =",
      "inet_interfaces = 127.0.0.1",
      "inet_protocols = ipv4",
      "mynetworks = 127.0.0.0/8",
      "smtpd_relay_restrictions = permit_mynetworks, reject",
      "smtpd_peername_lookup = no",
      "smtp_dns_support_level = disabled",
      "smtp_host_lookup = native",
      "local_recipient_maps =",
      "alias_maps =",
      "smtputf8_enable = yes",
      "message_size_limit = 31457280",
      "mailbox_size_limit = 0",
      "virtual_mailbox_limit = 0",
      ...own.main,
      "",
    ].join("\n"),
  );
  fs.writeFileSync(path.join(etc, "master.cf"), [...SERVICES, ...own.master, ""].join("\n"));
  // Postfix waits until a fresh main.cf is old enough not to be half written.
  const before = new Date(Date.now() - 60_000);
  fs.utimesSync(path.join(etc, "main.cf"), before, before);
}

/** Folders of a queue that belong to Postfix. Nobody else puts mail into this one. */
const QUEUES = [
  ...["active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming"],
  ...["maildrop", "private", "public", "saved", "trace"],
];

const SERVICES = [
  "cleanup    unix  n - n - 0    cleanup",
  "qmgr       unix  n - n 300 1  qmgr",
  "tlsmgr     unix  - - n 1000? 1 tlsmgr",
  "rewrite    unix  - - n - -    trivial-rewrite",
  "bounce     unix  - - n - 0    bounce",
  "defer      unix  - - n - 0    bounce",
  "trace      unix  - - n - 0    bounce",
  "verify     unix  - - n - 1    verify",
  "flush      unix  n - n 1000? 0 flush",
  "proxymap   unix  - - n - -    proxymap",
  "smtp       unix  - - n - -    smtp",
  "error      unix  - - n - -    error",
  "retry      unix  - - n - -    error",
  "virtual    unix  - n n - -    virtual",
  "anvil      unix  - - n - 1    anvil",
  "scache     unix  - - n - 1    scache",
  "postlog    unix-dgram n - n - 1 postlogd",
];
