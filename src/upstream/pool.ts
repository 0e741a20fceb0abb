/**
 * The servers of one upstream and the connections to them: whose turn it is, which one is resting after a failure, which
 * connections are idle, how many there may be. Everything here happens before the first octet of a body.
 * @module
 */
import * as Effect from "effect/Effect";
import type { Extensions } from "../session/capabilities.ts";
import type { UpstreamConnection } from "./connection.ts";
import {
  carriesIdentity,
  type ClientIdentity,
  dial,
  type DialOptions,
  identify,
  identityKey,
  serverName,
  type SocketServer,
} from "./dial.ts";
import { LegDown } from "./leg.ts";

/** A server and what is known of it. */
export interface ServerState {
  readonly server: SocketServer;
  readonly name: string;
  /** Failures in a row. */
  failures: number;
  /** Milliseconds; before it the server is asked only when no other is left. */
  restsUntil: number;
  /** From its last EHLO. */
  extensions: Extensions | undefined;
  /** The last connection stayed in plain text, for want of an offer of STARTTLS. */
  plain: boolean;
  readonly idle: UpstreamConnection[];
}

/** A connection that is in use, and its server. */
export interface Lease {
  readonly connection: UpstreamConnection;
  readonly server: ServerState;
  /** It was idle: the server may have closed it without our noticing yet. */
  readonly reused: boolean;
}

/** What must not be taken: servers that failed this transaction, or any idle connection. */
export interface Avoid {
  readonly servers: ReadonlySet<ServerState>;
  readonly idle: boolean;
}

const firstRest = 1_000;
const longestRest = 30_000;

/** Connections of one upstream. */
export class Pool {
  readonly servers: readonly ServerState[];
  readonly #options: DialOptions;
  readonly #waiting: (() => void)[] = [];
  #open = 0;
  #turn = 0;
  #closed = false;

  constructor(options: DialOptions) {
    this.#options = options;
    this.servers = options.upstream.servers
      .filter((s): s is SocketServer => s.kind !== "maildir")
      .map((server) => ({
        server,
        name: serverName(server),
        failures: 0,
        restsUntil: 0,
        extensions: undefined,
        plain: false,
        idle: [],
      }));
  }

  /** Connections in use and idle. */
  get size(): number {
    return this.#open;
  }

  /** A connection that may take MAIL. */
  acquire(identity: ClientIdentity | undefined, avoid: Avoid): Effect.Effect<Lease, LegDown> {
    return Effect.suspend(() => {
      const lease = this.take(identity, avoid);
      return Effect.isEffect(lease) ? lease : Effect.succeed(lease);
    });
  }

  /** As `acquire`, begun in this call: the connection where one is idle, which is the usual case, else an Effect that gets one. */
  take(
    identity: ClientIdentity | undefined,
    avoid: Avoid,
  ): Lease | Effect.Effect<Lease, LegDown> {
    const candidates = this.#candidates(avoid);
    const full = this.#open >= this.#options.upstream.connections;
    if (!avoid.idle) {
      const lease = this.#takeIdle(full ? candidates : candidates.slice(0, 1), identity);
      if (lease !== undefined) {
        const told = this.#identified(lease, identity);
        // It may have died while idle, without our noticing until now (R6).
        return Effect.isEffect(told)
          ? Effect.catch(told, () => this.acquire(identity, { ...avoid, idle: true }))
          : told;
      }
    }
    return full && !this.#evictIdle()
      ? Effect.andThen(this.#turnToCome(), this.acquire(identity, avoid))
      : this.#dialFirst(candidates, identity);
  }

  /** Gives a connection back; its transaction must be over on the server too. */
  release(lease: Lease): void {
    const { connection, server } = lease;
    if (!connection.alive) return;
    connection.uses += 1;
    const { upstream, timeouts } = this.#options;
    const bound = upstream.identity.startsWith("proxy");
    const kept = timeouts.upstreamIdle > 0 && connection.uses < upstream.maxUses;
    if (this.#closed || bound || !kept) {
      connection.quit();
      return;
    }
    connection.onDrain = () => {};
    connection.onUnasked = () => {};
    connection.at = this.#options.deadlines.now + timeouts.upstreamIdle;
    server.idle.push(connection);
    this.#waiting.shift()?.();
  }

  /** The server answered as it should. */
  succeeded(server: ServerState): void {
    server.failures = 0;
    server.restsUntil = 0;
  }

  /** The server broke: it rests, twice as long each time, 1 s to 30 s. */
  failed(server: ServerState): void {
    const rest = Math.min(longestRest, firstRest * 2 ** Math.min(server.failures, 10));
    server.failures += 1;
    server.restsUntil = this.#options.deadlines.now + rest;
  }

  /** Ends all idle connections; those in use end when they are given back. */
  close(): void {
    this.#closed = true;
    for (const server of this.servers) {
      for (const connection of server.idle.splice(0)) connection.quit();
    }
  }

  /** Servers in the order they are tried: whose turn it is first, resting ones last. */
  #candidates(avoid: Avoid): readonly ServerState[] {
    const all = this.servers;
    const count = all.length;
    if (count === 1) return avoid.servers.has(all[0] as ServerState) ? [] : all;
    const start = this.#options.upstream.balance === "round-robin" ? this.#turn++ % count : 0;
    const now = this.#options.deadlines.now;
    const ready: ServerState[] = [];
    const resting: ServerState[] = [];
    for (let i = 0; i < count; i++) {
      const server = all[(start + i) % count] as ServerState;
      if (avoid.servers.has(server)) continue;
      (server.restsUntil > now ? resting : ready).push(server);
    }
    return [...ready, ...resting];
  }

  #takeIdle(
    candidates: readonly ServerState[],
    identity: ClientIdentity | undefined,
  ): Lease | undefined {
    const server = candidates.find((candidate) => candidate.idle.length > 0);
    if (server === undefined) return undefined;
    let index = server.idle.length - 1;
    if (identity !== undefined && carriesIdentity(this.#options.upstream)) {
      const key = identityKey(identity);
      const same = server.idle.findLastIndex((c) => c.identity === key);
      if (same >= 0) index = same;
    }
    const connection = server.idle.splice(index, 1)[0] as UpstreamConnection;
    connection.at = Infinity;
    return { connection, server, reused: true };
  }

  /** With XCLIENT, a reused connection is told whose mail comes next. */
  #identified(
    lease: Lease,
    identity: ClientIdentity | undefined,
  ): Lease | Effect.Effect<Lease, LegDown> {
    const { upstream } = this.#options;
    if (identity === undefined || upstream.identity !== "xclient") return lease;
    const key = identityKey(identity);
    if (lease.connection.identity === key) return lease;
    return Effect.map(identify(this.#options, lease.connection, identity), () => {
      lease.connection.identity = key;
      return lease;
    });
  }

  /** Opens a connection to the first of these servers that answers. Its place among the connections is taken from here on. */
  #dialFirst(
    candidates: readonly ServerState[],
    identity: ClientIdentity | undefined,
  ): Effect.Effect<Lease, LegDown> {
    return Effect.suspend(() => {
      this.#open += 1;
      let held = true;
      const free = (): void => {
        if (!held) return;
        held = false;
        this.#open -= 1;
        this.#waiting.shift()?.();
      };
      return this.#dialNext(candidates, identity, undefined).pipe(
        Effect.map((lease) => {
          const { connection, server } = lease;
          connection.onGone = () => {
            const index = server.idle.indexOf(connection);
            if (index >= 0) server.idle.splice(index, 1);
            free();
          };
          if (!connection.alive) free();
          return lease;
        }),
        Effect.tapError(() => Effect.sync(free)),
        Effect.onInterrupt(() => Effect.sync(free)),
      );
    });
  }

  #dialNext(
    candidates: readonly ServerState[],
    identity: ClientIdentity | undefined,
    last: LegDown | undefined,
  ): Effect.Effect<Lease, LegDown> {
    const [server, ...others] = candidates;
    if (server === undefined) {
      return Effect.fail(
        last ??
          new LegDown({
            message: `upstream ${this.#options.upstream.name}: no server left to try`,
            phase: "connect",
          }),
      );
    }
    return Effect.matchEffect(dial(this.#options, server.server, identity, server.plain), {
      onSuccess: (connection) => {
        server.extensions = connection.extensions;
        server.plain = !connection.secure && !connection.extensions.starttls;
        this.succeeded(server);
        return Effect.succeed({ connection, server, reused: false });
      },
      onFailure: (down) => {
        this.failed(server);
        return this.#dialNext(others, identity, down);
      },
    });
  }

  /** Waits until a connection is given back or gone, for as long as opening one may take. */
  #turnToCome(): Effect.Effect<void, LegDown> {
    return Effect.callback<void, LegDown>((resume) => {
      const { upstream, timeouts, deadlines } = this.#options;
      const leave = (): void => {
        deadlines.delete(deadline);
        const index = this.#waiting.indexOf(wake);
        if (index >= 0) this.#waiting.splice(index, 1);
      };
      const wake = (): void => {
        leave();
        resume(Effect.void);
      };
      const deadline = {
        at: deadlines.now + timeouts.upstreamConnect,
        expired: () => {
          leave();
          const message =
            `upstream ${upstream.name}: all ${upstream.connections} connections are in use`;
          resume(Effect.fail(new LegDown({ message, phase: "connect" })));
        },
      };
      deadlines.add(deadline);
      this.#waiting.push(wake);
      return Effect.sync(leave);
    });
  }

  /** Makes room by ending an idle connection. */
  #evictIdle(): boolean {
    for (const server of this.servers) {
      const connection = server.idle.shift();
      if (connection !== undefined) {
        connection.quit();
        return this.#open < this.#options.upstream.connections;
      }
    }
    return false;
  }
}
