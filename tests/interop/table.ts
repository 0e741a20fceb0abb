/**
 * `deno run -A tests/interop/table.ts` (or `bun`): every client by every entrance with every kind of message, and every
 * upstream by every way with every kind, on both runtimes; writes what it found to `docs/interop.md`.
 *
 * What is not on this machine stands in the table as such. The exit code is 1 when anything failed.
 * @module
 */
import * as fs from "node:fs";
import * as path from "node:path";
import process from "node:process";
import { ROOT } from "../../tools/files.ts";
import { findBun, findDeno, type Runtime } from "../../tools/runtimes.ts";
import { type Client, CLIENTS } from "./clients.ts";
import { KINDS } from "./messages.ts";
import { mustRun } from "./programs.ts";
import { sendPlain } from "./plain_client.ts";
import { ENTRANCES, Stage } from "./stage.ts";
import { IDENTITY_WAYS, UPSTREAMS } from "./upstreams.ts";

/** How one cell of a table ended. */
type Cell = "equal" | "failed" | "no SMTPUTF8";

/** Cells by `row|column`, of all runtimes: a failure on one is a failure. */
const cells = new Map<string, Cell>();
const failures: string[] = [];
let done = 0;

async function attempt(
  runtime: Runtime,
  row: string,
  column: string,
  work: () => Promise<void>,
): Promise<void> {
  const key = `${row}|${column}`;
  try {
    await work();
    done++;
    if (!cells.has(key)) cells.set(key, "equal");
  } catch (error) {
    cells.set(key, "failed");
    const why = error instanceof Error ? error.message : String(error);
    failures.push(`${runtime.name}: ${row}, ${column}`);
    console.log(`FAILED ${runtime.name}: ${row}, ${column}\n${why}`);
  }
}

async function runClient(runtime: Runtime, stage: Stage, name: string, client: Client) {
  const { dir, entrances } = stage;
  const sender = await client.start({ dir, entrances, runtime });
  try {
    for (const entrance of entrances) {
      for (const kind of KINDS) {
        const column = `${entrance.name}|${kind.name}`;
        if (kind.utf8 && client.noUtf8) {
          cells.set(`${name}|${column}`, "no SMTPUTF8");
          continue;
        }
        await attempt(runtime, name, column, async () => {
          const message = stage.message(kind, "maildir");
          await sender.send(message, entrance);
          await stage.arrived(message, "maildir");
        });
      }
    }
  } finally {
    await sender.close?.();
  }
}

async function runAll(runtime: Runtime): Promise<void> {
  await using stage = await Stage.open([...UPSTREAMS.keys()], runtime);
  const { port } = stage.entrance("plain");
  for (const way of stage.ways.keys()) {
    if (IDENTITY_WAYS.some((each) => each === way)) {
      await attempt(runtime, way, "identity", () => stage.tellsClient(way));
      continue;
    }
    for (const kind of KINDS) {
      await attempt(runtime, way, kind.name, async () => {
        const message = stage.message(kind, way);
        await sendPlain(message, port);
        await stage.arrived(message, way);
      });
    }
  }
  console.log(`${runtime.name}: upstreams done`);
  for (const [name, client] of CLIENTS) {
    if (client.missing() !== undefined) continue;
    await runClient(runtime, stage, name, client);
    console.log(`${runtime.name}: ${name} done`);
  }
}

const HEADINGS: ReadonlyMap<string, string> = new Map([
  ["plain", "plain"],
  ["plain-auth", "plain, AUTH"],
  ["starttls", "STARTTLS"],
  ["starttls-auth", "STARTTLS, AUTH"],
  ["implicit", "implicit TLS"],
  ["implicit-auth", "implicit TLS, AUTH"],
]);

function table(heading: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (words: readonly string[]) => `| ${words.join(" | ")} |`;
  return [line(heading), line(heading.map(() => "---")), ...rows.map(line)].join("\n");
}

/** `all 6`, or the kinds that failed. */
function clientCell(name: string, entrance: string): string {
  const found = KINDS.map((kind) => [kind.name, cells.get(`${name}|${entrance}|${kind.name}`)]);
  const failed = found.filter(([, cell]) => cell === "failed").map(([kind]) => kind);
  if (failed.length > 0) return `**failed: ${failed.join(", ")}**`;
  const equal = found.filter(([, cell]) => cell === "equal").length;
  return equal === KINDS.length ? `all ${equal}` : `${equal}, no UTF-8`;
}

async function clientTable(): Promise<string> {
  const rows: string[][] = [];
  for (const [name, client] of CLIENTS) {
    const missing = client.missing();
    rows.push(
      missing === undefined
        ? [`${name} ${await client.version()}`, ...ENTRANCES.map((each) => clientCell(name, each))]
        : [name, missing, ...ENTRANCES.slice(1).map(() => "")],
    );
  }
  return table(["client", ...ENTRANCES.map((name) => HEADINGS.get(name) ?? name)], rows);
}

const WAYS: ReadonlyMap<string, string> = new Map([
  ["maildir", "plain file"],
  ["postfix", "plain"],
  ["postfix-starttls", "STARTTLS, certificate verified"],
  ["postfix-implicit", "implicit TLS, certificate verified"],
  ["exim", "plain"],
  ["exim-starttls", "STARTTLS, certificate verified, AUTH"],
  ["exim-implicit", "implicit TLS, certificate verified, AUTH"],
]);

async function upstreamTable(): Promise<string> {
  const rows: string[][] = [];
  const word = (way: string, kind: string) => {
    const cell = cells.get(`${way}|${kind}`) ?? "";
    return cell === "failed" ? "**failed**" : cell;
  };
  for (const [name, upstream] of UPSTREAMS) {
    const missing = upstream.missing();
    if (missing !== undefined) {
      rows.push([name, missing, ...KINDS.map(() => "")]);
      continue;
    }
    for (const way of upstream.ways) {
      const label = WAYS.get(way);
      if (label === undefined) continue;
      const server = `${name === "Maildir" ? "embedded Maildir" : name} ${await upstream
        .version()}`;
      rows.push([server, label, ...KINDS.map((kind) => word(way, kind.name))]);
    }
  }
  rows.push(["Dovecot LMTP", "comes with LMTP upstreams", ...KINDS.map(() => "")]);
  return table(["upstream", "how", ...KINDS.map((kind) => kind.name)], rows);
}

function identityTable(): string {
  return table(
    ["identity", "Postfix knows the client's address"],
    IDENTITY_WAYS.map((way) => {
      const cell = cells.get(`${way}|identity`);
      return [`\`${way}\``, cell === undefined ? "not tried" : cell === "equal" ? "yes" : "**no**"];
    }),
  );
}

const deno = await findDeno();
const runtimes = [deno, await findBun()];
for (const runtime of runtimes) await runAll(runtime);

const text = `# Interoperability

Postern as it is run by people (\`postern serve\`, a process of its own) between real clients and real
servers. A cell says \`equal\`, or how many kinds of message were, when the SHA-256 of the content is
the same at both ends; only the trace fields that every server puts in front of it (\`Received\`,
\`Return-Path\`, \`Delivered-To\` and the like) are left out. Every client verifies Postern's
certificate, swaks its chain only.

Written by \`tests/interop/table.ts\`, which runs every combination on
${runtimes.map(({ name, version }) => `${name} ${version}`).join(" and ")}: ${done} messages, ${
  failures.length === 0 ? "none lost or changed" : `${failures.length} failures`
}. The tests of the same folder run a selection of pairs with every change, and skip what the
machine does not have.

## Kinds of message

- 0 B: a header and nothing behind it; 1 KiB and 10 MiB: lines of text.
- 8-bit: every octet but NUL, CR and LF.
- dots: lines of one dot, several dots, dots before and behind other octets, a dot as the last line.
- UTF-8: addresses and header fields beyond US-ASCII (RFC 6531, 6532). swaks and msmtp cannot ask for
  SMTPUTF8, and get \`553 5.6.7\`.

## Clients

Into the embedded Maildir. AUTH: PLAIN, or LOGIN for swaks; the listener takes no mail without it.
SCRAM-SHA-256, OAUTHBEARER, XOAUTH2 and EXTERNAL are tested with msmtp (GNU SASL), all but the first
with curl, too.

<!-- deno-fmt-ignore-start -->

${await clientTable()}

<!-- deno-fmt-ignore-end -->

What swaks sends is given to it ready for the wire (\`--no-data-fixup\`); left to itself it changes
the end of a message. Postfix gets its mail by SMTP and brings it on by smtp(8).

## Upstreams

<!-- deno-fmt-ignore-start -->

${await upstreamTable()}

<!-- deno-fmt-ignore-end -->

Postfix and Exim deliver into Maildirs of their own, with LF for CRLF, as mailboxes of Unix have it;
that is undone before the comparison.

## Who the client is

The client comes from 127.0.0.2, Postern speaks to Postfix from 127.0.0.1. Postfix has the client's
address in its \`Received\` line, with XFORWARD in its log.

<!-- deno-fmt-ignore-start -->

${identityTable()}

<!-- deno-fmt-ignore-end -->

## Authentication services

Each has a test of its own in the same folder, on both runtimes.

| plugin | against | what is shown |
| --- | --- | --- |
| \`auth-http\` | nginx's mail proxy | a service gets the same fields from both, for the same logins, with and without TLS |
| \`auth-dovecot\` | Dovecot | right, wrong, unknown and renamed logins, a database that fails, a restart |
| \`auth-ldap\` | OpenLDAP | by name and by search; StartTLS, ldaps and unix socket; odd logins, a restart |
| \`auth-upstream\` | Postfix with logins from Dovecot | STARTTLS and implicit TLS, verified |
`;
const file = path.join(ROOT, "docs/interop.md");
fs.writeFileSync(file, text);
await mustRun(deno.program, ["fmt", "--quiet", file], { cwd: ROOT });
console.log(`${done} equal, ${failures.length} failed; docs/interop.md is written`);
process.exit(failures.length === 0 ? 0 : 1);
