/**
 * A pool over real sockets to scripted servers, with a clock that is turned by hand.
 * @module
 */
import * as Effect from "effect/Effect";
import assert from "node:assert/strict";
import { systemNetwork } from "../../src/runtime/system_net.ts";
import type { Timeouts, UpstreamSettings } from "../../src/settings/settings.ts";
import { type Deadline, Deadlines } from "../../src/transport/deadlines.ts";
import {
  type ClientIdentity,
  dial,
  type DialOptions,
  type SocketServer,
} from "../../src/upstream/dial.ts";
import { FailoverLeg } from "../../src/upstream/failover_leg.ts";
import type { Leg, LegDown, LegEnvelope, LegRecipient } from "../../src/upstream/leg.ts";
import { Pool } from "../../src/upstream/pool.ts";
import type { MailParams, RcptParams } from "../../src/wire/params.ts";
import { type Mailbox, parseMailbox, type ReversePath } from "../../src/wire/path.ts";
import type { Reply } from "../../src/wire/reply.ts";
import { listening, type Probe, probe } from "./duplex.ts";
import { guarded } from "./line_socket.ts";
import { type Script, type ScriptedUpstream, scriptedUpstream } from "./scripted_upstream.ts";

export const timeouts: Timeouts = {
  command: 300_000,
  data: 300_000,
  session: 3_600_000,
  tlsHandshake: 20_000,
  proxyHeader: 5_000,
  upstreamConnect: 20_000,
  upstreamCommand: 300_000,
  upstreamData: 180_000,
  upstreamDataEnd: 600_000,
  upstreamIdle: 60_000,
  drain: 30_000,
};

/** A client as the listening side knows it. */
export const client: ClientIdentity = {
  remote: { address: "192.0.2.7", port: 40_000 },
  local: { address: "198.51.100.1", port: 25 },
  name: "client.test",
  helo: "helo.test",
  esmtp: true,
  user: undefined,
};

export function mailbox(address: string): Mailbox {
  const parsed = parseMailbox(address);
  if (parsed === undefined) assert.fail(`${address} is no mailbox`);
  return parsed;
}

export function recipient(address: string, params: RcptParams = {}): LegRecipient {
  return { to: mailbox(address), params };
}

export function envelope(
  params: MailParams = {},
  from: ReversePath = mailbox("a@b.test"),
): LegEnvelope {
  return { from, params, id: "t1" };
}

/** What came of it: the reply, or the failure. */
export function outcome<A>(effect: Effect.Effect<A, LegDown>): Promise<A | LegDown> {
  return Effect.runPromise(
    Effect.match(effect, { onSuccess: (value): A | LegDown => value, onFailure: (down) => down }),
  );
}

/** A reply as text, or the failure's phase. */
export function shown(result: Reply | LegDown): string {
  return "code" in result
    ? `${result.code}${result.enhanced === undefined ? "" : ` ${result.enhanced}`}`
    : `down in ${result.phase}`;
}

export async function said(effect: Effect.Effect<Reply, LegDown>): Promise<string> {
  return shown(await outcome(effect));
}

/** Waits, turn by turn, until something holds that tells nobody. */
export function until(holds: () => boolean, what: string): Promise<void> {
  let waiting = true;
  const looked = (async () => {
    while (waiting && !holds()) await new Promise((resolve) => setImmediate(resolve));
  })();
  return guarded(looked, () => what).finally(() => waiting = false);
}

export const body: Uint8Array = new TextEncoder().encode("Subject: x\r\n\r\nhello\r\n");

export interface WorldOptions extends Partial<UpstreamSettings> {
  readonly ca?: string;
  readonly timeouts?: Partial<Timeouts>;
}

/** Servers, the pool in front of them, and the clock. */
export class World implements AsyncDisposable {
  readonly deadlines = new Deadlines(1_000_000);
  readonly settings: UpstreamSettings;
  readonly options: DialOptions;
  readonly pool: Pool;
  readonly timeouts: Timeouts;
  readonly #legs: Leg[] = [];
  readonly #watched = new Set<Deadline>();

  constructor(readonly servers: readonly ScriptedUpstream[], options: WorldOptions) {
    const { ca, timeouts: other, ...settings } = options;
    this.timeouts = { ...timeouts, ...other };
    this.settings = {
      name: "mail",
      servers: servers.map(({ port }) => ({
        kind: "smtp",
        host: "127.0.0.1",
        port,
        implicitTls: false,
      })),
      balance: "priority",
      tls: "none",
      ca: undefined,
      fingerprint: undefined,
      identity: "none",
      auth: undefined,
      connections: 10,
      maxUses: 100,
      mode: "inline",
      replyText: false,
      ...settings,
    };
    this.options = {
      network: systemNetwork(),
      deadlines: this.deadlines,
      upstream: this.settings,
      hostname: "edge.test",
      timeouts: this.timeouts,
      ca,
    };
    this.pool = new Pool(this.options);
    const add = this.deadlines.add.bind(this.deadlines);
    this.deadlines.add = (deadline) => {
      this.#watched.add(deadline);
      add(deadline);
    };
  }

  /** Resolves when somebody has this long to wait, by the clock of now. */
  due(ms: number): Promise<void> {
    const at = this.deadlines.now + ms;
    return until(() => [...this.#watched].some((one) => one.at === at), `a deadline in ${ms} ms`);
  }

  /** The first server. */
  get server(): ScriptedUpstream {
    return this.servers[0] as ScriptedUpstream;
  }

  /** Turns the clock. */
  pass(ms: number): void {
    this.deadlines.tick(this.deadlines.now + ms);
  }

  leg(of: LegEnvelope = envelope(), identity: ClientIdentity = client): FailoverLeg {
    const { identity: told, name } = this.settings;
    const leg = new FailoverLeg({
      pool: this.pool,
      upstream: name,
      envelope: of,
      timeouts: this.timeouts,
      identity: told === "none" ? undefined : identity,
      xforward: told === "xforward",
    });
    this.#legs.push(leg);
    return leg;
  }

  /** A whole transaction; the reply to the dot. */
  async deliver(of?: LegEnvelope, identity?: ClientIdentity): Promise<string> {
    const leg = this.leg(of, identity);
    const steps = [() => leg.rcpt(recipient("c@d.test")), () => leg.data(), () => {
      leg.write(body);
      return leg.finish();
    }];
    let last = "";
    for (const step of steps) {
      last = await said(step());
      if (!/^[23]/.test(last)) break;
    }
    leg.release();
    return last;
  }

  /** Commands of one connection: the lines as they came, or the verbs only. */
  lines(connection = 0, server = 0): readonly string[] {
    return this.servers[server]?.connections[connection]?.commands ?? [];
  }

  verbs(connection = 0, server = 0): string {
    return this.lines(connection, server).map((line) => line.split(/[ :]/, 1)[0]).join(" ");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const leg of this.#legs) leg.release();
    this.pool.close();
    await Promise.all(this.servers.map((server) => server.stop()));
    // Whoever still waits for a server's word gives up.
    const over = (): boolean => {
      this.pass(3_600_000);
      return this.pool.size === 0 && this.deadlines.size === 0;
    };
    await until(over, "every connection is gone, and nobody waits for the clock");
  }
}

/** Starts a server for each script, and a pool in front of them. */
export async function world(
  scripts: Script | readonly Script[] = {},
  options: WorldOptions = {},
): Promise<World> {
  const list: readonly Script[] = Array.isArray(scripts) ? scripts : [scripts as Script];
  return new World(await Promise.all(list.map(scriptedUpstream)), options);
}

/** `plain` or `TLS` where there is a connection, else why there is none. */
export async function dialed(w: World, identity?: ClientIdentity): Promise<string> {
  const [server] = w.settings.servers;
  const got = await outcome(dial(w.options, server as SocketServer, identity));
  if (!("_tag" in got)) {
    const secure = got.secure;
    got.quit();
    return secure ? "TLS" : "plain";
  }
  assert.equal(got.phase, "connect");
  return got.message.replace(/^upstream mail (?:smtps:\/\/)?127\.0\.0\.1:\d+: /, "");
}

/** A server that says nothing by itself: the test speaks for it. */
export class RawServer {
  readonly #accepted: Probe[] = [];
  #port: Awaited<ReturnType<typeof listening>> | undefined;
  #taken = 0;

  async start(): Promise<void> {
    this.#port = await listening(
      systemNetwork(),
      (duplex) => this.#accepted.push(probe(duplex)),
    );
  }

  /** As the `servers` of an upstream. */
  get settings(): UpstreamSettings["servers"][number] {
    const { address = "", port = 0 } = this.#port?.address ?? {};
    return { kind: "smtp", host: address, port, implicitTls: false };
  }

  /** The next connection. */
  async accept(): Promise<Probe> {
    const index = this.#taken++;
    await until(() => this.#accepted.length > index, `connection ${index}`);
    return this.#accepted[index] as Probe;
  }

  /** The next connection, behind EHLO with these keywords. */
  async ready(...keywords: readonly string[]): Promise<Probe> {
    const peer = await this.accept();
    peer.duplex.write("220 up.test\r\n");
    await peer.hears("EHLO edge.test\r\n");
    const lines = ["up.test", ...keywords];
    const last = lines.length - 1;
    peer.duplex.write(lines.map((text, i) => `250${i < last ? "-" : " "}${text}\r\n`).join(""));
    return peer;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { duplex } of this.#accepted) duplex.destroy();
    await this.#port?.close();
  }
}

/** A raw server on a port of its own. */
export async function rawServer(): Promise<RawServer> {
  const server = new RawServer();
  await server.start();
  return server;
}
