/**
 * The usual test bed of the whole server: one Postern, one scripted upstream behind it, real sockets, a clock by hand.
 *
 * ```ts
 * await using edge = await startEdge({ script: { rcpt: "550 5.1.1 nobody" }, limits: "errors = 3" });
 * await using client = await edge.greeted();
 * ```
 * @module
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import type { SpillStore } from "../../src/transport/spill.ts";
import { passwords } from "../../src/pipeline/passwords.ts";
import { formatScram, scramSecret } from "../../src/pipeline/scram.ts";
import { startPostern, type TestOptions, type TestPostern } from "./postern.ts";
import { type Script, type ScriptedUpstream, scriptedUpstream } from "./scripted_upstream.ts";
import { type ConnectOptions, SmtpClient } from "./smtp_client.ts";

/** What differs from the usual: lines of the configuration, by their table. */
export interface EdgeOptions {
  readonly script?: Script;
  /** Keys of the top level. */
  readonly top?: string;
  readonly listener?: string;
  readonly limits?: string;
  readonly timeouts?: string;
  readonly upstream?: string;
  /** Further servers of the upstream, behind the scripted one. */
  readonly servers?: readonly string[];
  /** Replaces the one route, which takes every recipient. */
  readonly routes?: string;
  /** Whole tables, at the end. */
  readonly more?: string;
  /** Plugin files by name, loaded in this order; the text is the body of `(edge, options) => { ... }`. */
  readonly plugins?: Readonly<Record<string, string>>;
  /** Keys of each `[[plugins]]` table of `plugins`. */
  readonly pluginSettings?: string;
  /** Logins with their passwords; `auth-file` is loaded with them. */
  readonly users?: Readonly<Record<string, string>>;
  /** The users have secrets for SCRAM-SHA-256 instead of hashes. */
  readonly scram?: boolean;
  /** Further files, by name. */
  readonly files?: Readonly<Record<string, string>>;
  /** Options of `auth-file` beside the users. */
  readonly authOptions?: string;
  /** Milliseconds that the reply to a failed login waits; 0 unless given. */
  readonly authDelay?: number;
  /** Where held bodies go that are too large for memory, in the place of the data folder. */
  readonly spill?: SpillStore;
  /** The clock stands still unless `advance` is called. */
  readonly clock?: boolean;
}

/** A Postern and its upstream. */
export interface Edge extends AsyncDisposable {
  readonly postern: TestPostern;
  readonly upstream: ScriptedUpstream;
  /** The port of a listener. */
  port(name?: string): number;
  /** A connection; its banner is left to be read. */
  connect(options?: ConnectOptions, listener?: string): Promise<SmtpClient>;
  /** A connection behind banner and EHLO. */
  greeted(options?: ConnectOptions, listener?: string): Promise<SmtpClient>;
  /** Lets time go by (with `clock`): the next tick sees it. */
  advance(ms: number): void;
  /** Lets time go by in such steps until the promise is settled, for what is awaited while it is not yet begun. */
  advanceUntil<T>(step: number, event: Promise<T>): Promise<T>;
  /** Everything logged so far. */
  log(): string;
}

/** Milliseconds between two looks at the deadlines where the clock is held. */
const tick = 2;

/** Starts both. */
export async function startEdge(options: EdgeOptions = {}): Promise<Edge> {
  const upstream = await scriptedUpstream(options.script ?? {});
  let ms = 1_700_000_000_000;
  const start: TestOptions = {
    authDelay: options.authDelay ?? 0,
    prepare: (dir) => prepare(dir, options),
    ...(options.spill === undefined ? {} : { spill: options.spill }),
    ...(options.clock === true ? { now: () => ms, tick } : {}),
  };
  let postern: TestPostern;
  try {
    postern = await startPostern(configuration(options, upstream.address), start);
  } catch (error) {
    await upstream.stop();
    throw error;
  }
  const port = (name = "mx"): number => postern.port(name);
  const edge: Edge = {
    postern,
    upstream,
    port,
    connect: (connection, listener) => SmtpClient.connect(port(listener), connection),
    async greeted(connection, listener) {
      const client = await edge.connect(connection, listener);
      await client.expect(220);
      await client.ehlo();
      return client;
    },
    advance: (by) => {
      assert.ok(options.clock, "this edge's clock is not held");
      ms += by;
    },
    async advanceUntil(step, event) {
      let settled = false;
      const over = (): void => {
        settled = true;
      };
      event.then(over, over);
      while (!settled) {
        edge.advance(step);
        await new Promise((resolve) => setTimeout(resolve, tick));
      }
      return await event;
    },
    log() {
      postern.running.log.flush();
      return postern.log();
    },
    async [Symbol.asyncDispose]() {
      await upstream.stop();
      await postern.stop();
    },
  };
  return edge;
}

function configuration(options: EdgeOptions, address: string): string {
  const plugins = Object.keys(options.plugins ?? {}).map((name) =>
    `[[plugins]]\nuse = "./${name}.ts"\n${options.pluginSettings ?? ""}\n`
  );
  const users = options.users === undefined
    ? ""
    : `[[plugins]]\nuse = "auth-file"\n[plugins.options]\nusers = "users.txt"\n${
      options.authOptions ?? ""
    }\n`;
  const drain = /^\s*drain\s*=/m.test(options.timeouts ?? "") ? "" : 'drain = "100ms"\n';
  return `received = false
${options.top ?? ""}
[[listeners]]
name = "mx"
listen = "127.0.0.1:0"
${options.listener ?? ""}
[limits]
${options.limits ?? ""}
[timeouts]
${drain}${options.timeouts ?? ""}
[upstreams.up]
servers = ${JSON.stringify([address, ...options.servers ?? []])}
${options.upstream ?? ""}
${options.routes ?? '[[routes]]\nupstream = "up"'}
${users}
${plugins.join("\n")}
${options.more ?? ""}
`;
}

async function prepare(dir: string, options: EdgeOptions): Promise<void> {
  const { writeFile } = await import("node:fs/promises");
  for (const [name, body] of Object.entries(options.plugins ?? {})) {
    await writeFile(
      `${dir}/${name}.ts`,
      `export default (edge: any, options: any) => {\n${body}\n};\n`,
    );
  }
  for (const [name, text] of Object.entries(options.files ?? {})) {
    await writeFile(`${dir}/${name}`, text);
  }
  if (options.users === undefined) return;
  const hash = options.scram === true ? scramHash : passwords.hash;
  const lines = await Promise.all(
    Object.entries(options.users).map(async ([login, password]) =>
      `${login}:${await hash(password)}\n`
    ),
  );
  await writeFile(`${dir}/users.txt`, lines.join(""));
}

/** As `postern user add --scram` writes it, with the fewest iterations. */
async function scramHash(password: string): Promise<string> {
  const secret = await scramSecret(password, undefined, 4096);
  if (secret === undefined) throw new Error("not a password");
  return formatScram(secret);
}

/** Content in plain form that the upstream got as its only message; fails unless it is the only one. */
export function onlyMessage(edge: Edge): Buffer {
  assert.equal(edge.upstream.messages.length, 1, edge.upstream.transcript());
  return Buffer.from(edge.upstream.messages[0]?.content ?? []);
}

/** The commands of a transaction that the upstream was sent, over all connections. */
export function mailCommands(edge: Edge): readonly string[] {
  return edge.upstream.connections.flatMap((connection) => connection.commands)
    .filter((line) => /^(mail|rcpt|data)/i.test(line));
}

/** Nothing that the upstream was sent on any connection ended a message. */
export function assertNoDot(edge: Edge): void {
  assert.equal(edge.upstream.messages.length, 0, edge.upstream.transcript());
  for (const { bodies } of edge.upstream.connections) {
    for (const body of bodies) assert.equal(body.dot, false, "the upstream was sent the dot");
  }
}
