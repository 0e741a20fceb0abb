/**
 * All upstreams of a configuration: routes, pools, the embedded mailbox, and what they can honour together.
 * @module
 */
import * as Effect from "effect/Effect";
import { type Extensions, intersect, noExtensions, type Offer } from "../session/capabilities.ts";
import type { Settings, UpstreamSettings } from "../settings/settings.ts";
import type { Deadlines } from "../transport/deadlines.ts";
import type { Network } from "../transport/duplex.ts";
import type { ClientIdentity } from "./dial.ts";
import { FailoverLeg } from "./failover_leg.ts";
import { LazyLeg } from "./lazy_leg.ts";
import { type Leg, LegDown, type LegEnvelope } from "./leg.ts";
import { type MaildirUpstream, maildirUpstream } from "./maildir.ts";
import { Pool } from "./pool.ts";
import { type RouteQuestion, Routes } from "./routes.ts";

/** What upstreams are made from. */
export interface UpstreamsOptions {
  readonly settings: Settings;
  readonly network: Network;
  readonly deadlines: Deadlines;
  readonly now: () => number;
  /** Reads the PEM trust anchors of one upstream. */
  readonly trustAnchors: (upstream: UpstreamSettings) => string | undefined;
}

/** What the embedded mailbox honours: octets and addresses, but no delivery reports. */
const maildirExtensions: Extensions = {
  ...noExtensions,
  eightBitMime: true,
  smtputf8: true,
  size: 0,
};

type Compiled =
  | { readonly kind: "pool"; readonly settings: UpstreamSettings; readonly pool: Pool }
  | {
    readonly kind: "maildir";
    readonly settings: UpstreamSettings;
    readonly maildir: MaildirUpstream;
  };

/** How one server of one upstream answered a check. */
export interface ServerCheck {
  readonly upstream: string;
  readonly server: string;
  /** What is wrong; undefined: all is well. */
  readonly problem: string | undefined;
  readonly extensions: Extensions | undefined;
  readonly tls: string | undefined;
}

/** The upstreams of one configuration. */
export class Upstreams {
  readonly #options: UpstreamsOptions;
  readonly #byName = new Map<string, Compiled>();
  readonly #routes: Routes;

  constructor(options: UpstreamsOptions) {
    this.#options = options;
    const { settings } = options;
    this.#routes = new Routes(settings.routes, settings.hostname);
    for (const upstream of settings.upstreams) {
      this.#byName.set(upstream.name, compile(options, upstream));
    }
  }

  /** Name of the upstream for a recipient; undefined: not relayed. */
  route(question: RouteQuestion): string | undefined {
    return this.#routes.find(question);
  }

  /** True where a plugin's choice of upstream exists. */
  has(upstream: string): boolean {
    return this.#byName.has(upstream);
  }

  /** A leg for one transaction; it connects with its first recipient. */
  open(upstream: string, envelope: LegEnvelope, identity: ClientIdentity): Leg {
    const found = this.#byName.get(upstream);
    if (found === undefined) throw new TypeError(`No upstream is named ${upstream}`);
    if (found.kind === "maildir") return new LazyLeg(upstream, found.maildir.open(envelope));
    const { settings, pool } = found;
    return new FailoverLeg({
      pool,
      upstream,
      envelope,
      timeouts: this.#options.settings.timeouts,
      identity: settings.identity === "none" ? undefined : identity,
      xforward: settings.identity === "xforward",
    });
  }

  /** Whether the upstream's reply texts may reach the client. */
  passesText(upstream: string): boolean {
    return this.#byName.get(upstream)?.settings.replyText ?? false;
  }

  /** What clients of a listener may be offered, from what the upstreams behind it have said so far. */
  offer(listener: string): Offer {
    const known: Extensions[] = [];
    for (const name of this.#routes.reachable(listener)) {
      const upstream = this.#byName.get(name);
      if (upstream === undefined) continue;
      if (upstream.kind === "maildir") known.push(maildirExtensions);
      else {
        for (const server of upstream.pool.servers) {
          if (server.extensions !== undefined) known.push(server.extensions);
        }
      }
    }
    return intersect(this.#options.settings.limits.messageSize, known);
  }

  /** Asks every server for its greeting and EHLO; the connections made are kept for the first mail. Never fails. */
  check(): Effect.Effect<readonly ServerCheck[]> {
    const checks: Effect.Effect<ServerCheck>[] = [];
    for (const [name, upstream] of this.#byName) {
      if (upstream.kind === "maildir") checks.push(checkMaildir(name, upstream));
      else {
        for (const server of upstream.pool.servers) {
          checks.push(checkServer(name, upstream.pool, server));
        }
      }
    }
    return Effect.all(checks, { concurrency: 16 });
  }

  /** Ends idle connections now and the others when they are given back. */
  close(): void {
    for (const upstream of this.#byName.values()) {
      if (upstream.kind === "pool") upstream.pool.close();
    }
  }
}

function compile(options: UpstreamsOptions, upstream: UpstreamSettings): Compiled {
  const { settings, network, deadlines, now } = options;
  const [server] = upstream.servers;
  if (server?.kind === "maildir") {
    return {
      kind: "maildir",
      settings: upstream,
      maildir: maildirUpstream({
        name: upstream.name,
        path: server.path,
        hostname: settings.hostname,
        now,
      }),
    };
  }
  return {
    kind: "pool",
    settings: upstream,
    pool: new Pool({
      network,
      deadlines,
      upstream,
      hostname: settings.hostname,
      timeouts: settings.timeouts,
      ca: options.trustAnchors(upstream),
    }),
  };
}

function checkServer(
  upstream: string,
  pool: Pool,
  server: Pool["servers"][number],
): Effect.Effect<ServerCheck> {
  const others = new Set(pool.servers.filter((other) => other !== server));
  return pool.acquire(undefined, { servers: others, idle: false }).pipe(
    Effect.match({
      onFailure: (down) => ({
        upstream,
        server: server.name,
        problem: down.message,
        extensions: undefined,
        tls: undefined,
      }),
      onSuccess: (lease) => {
        const { extensions, tls } = lease.connection;
        pool.release(lease);
        return {
          upstream,
          server: server.name,
          problem: undefined,
          extensions,
          tls: tls?.version,
        };
      },
    }),
  );
}

function checkMaildir(
  upstream: string,
  { maildir, settings }: Extract<Compiled, { kind: "maildir" }>,
): Effect.Effect<ServerCheck> {
  const [server] = settings.servers;
  const base = {
    upstream,
    server: server?.kind === "maildir" ? `maildir:${server.path}` : upstream,
    extensions: maildirExtensions,
    tls: undefined,
  };
  return maildir.check().pipe(
    Effect.match({
      onFailure: (down: LegDown) => ({ ...base, problem: down.message }),
      onSuccess: () => ({ ...base, problem: undefined }),
    }),
  );
}
