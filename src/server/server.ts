/**
 * The server: listeners, admission, PROXY headers, the set of sessions, drain. Nothing global: two servers live in one process.
 * @module
 */
import * as Data from "effect/Data";
import * as Effect from "effect/Effect";
import type * as Scope from "effect/Scope";
import type { Pipeline } from "../pipeline/pipeline.ts";
import { greetingReply, type ServerPolicy } from "../session/server.ts";
import type { SessionFacts } from "../plugin/facts.ts";
import type { ListenerSettings, Settings } from "../settings/settings.ts";
import type { Log } from "../telemetry/log.ts";
import type { Deadlines } from "../transport/deadlines.ts";
import type {
  Duplex,
  Endpoint,
  ListeningPort,
  Network,
  TlsServerContext,
  TransportError,
} from "../transport/duplex.ts";
import type { Upstreams } from "../upstream/upstreams.ts";
import { formatReply } from "../wire/reply.ts";
import { Admission } from "./admission.ts";
import { answers } from "./answers.ts";
import type { ServerContext, ServerListener } from "./context.ts";
import { Facts } from "./facts.ts";
import { isLoopback, networkList } from "./networks.ts";
import { readProxyHeader } from "./proxy_header.ts";
import type { TransactionRecord } from "./record.ts";
import { logRecord } from "./record_log.ts";
import { Session } from "./session.ts";

/** A listener could not be opened. */
export class ListenFailed extends Data.TaggedError("ListenFailed")<{
  readonly listener: ListenerSettings;
  readonly error: TransportError;
}> {}

/** Server TLS by the listeners' demand for client certificates; empty where no listener uses TLS. */
export type TlsContexts = ReadonlyMap<ListenerSettings["clientCertificate"], TlsServerContext>;

/** What a server is made from. */
export interface ServerOptions {
  readonly settings: Settings;
  readonly network: Network;
  readonly pipeline: Pipeline;
  readonly upstreams: Upstreams;
  readonly deadlines: Deadlines;
  readonly log: Log;
  readonly now: () => number;
  /** Unique per process start; begins every session id. */
  readonly idPrefix: string;
  readonly tls: TlsContexts;
  /** Milliseconds, see {@linkcode ServerContext.authDelay}. */
  readonly authDelay: number;
  /** Told of every transaction that is over. */
  readonly recorded?: (record: TransactionRecord) => void;
}

/** A server that listens. */
export interface RunningServer {
  /** Real addresses, by the listeners' names. */
  readonly addresses: ReadonlyMap<string, Endpoint>;
  /** Sessions now. */
  readonly sessions: number;
  /** Takes nothing new, lets transactions end, ends the rest after the drain time. */
  readonly drain: Effect.Effect<void>;
}

/** Opens the listeners; the scope's end drains. */
export function startServer(
  options: ServerOptions,
): Effect.Effect<RunningServer, ListenFailed, Scope.Scope> {
  return Effect.gen(function* () {
    const server = new Server(options);
    yield* Effect.addFinalizer(() => server.drain);
    for (const listener of options.settings.listeners) yield* server.listen(listener);
    return server;
  });
}

class Server implements RunningServer {
  readonly addresses = new Map<string, Endpoint>();
  readonly #options: ServerOptions;
  readonly #admission: Admission;
  readonly #context: ServerContext;
  readonly #ports: ListeningPort[] = [];
  readonly #sessions = new Set<Session>();
  #counter = 0;
  #draining = false;
  #empty: () => void = () => {};

  constructor(options: ServerOptions) {
    this.#options = options;
    this.#admission = new Admission(options.settings.limits);
    const { settings, pipeline, upstreams, deadlines, log, now, authDelay } = options;
    this.#context = {
      settings,
      pipeline,
      upstreams,
      deadlines,
      log,
      now,
      authDelay,
      policyFor: (listener, facts) => this.#policyFor(listener, facts),
      greeting: (policy, state, ask) => greetingReply(policy, state, ask.name, ask.esmtp),
      recorded: (record) => {
        logRecord(log, record);
        options.recorded?.(record);
      },
      closed: (session) => this.#closed(session),
    };
  }

  get sessions(): number {
    return this.#sessions.size;
  }

  listen(settings: ListenerSettings): Effect.Effect<void, ListenFailed> {
    const { network } = this.#options;
    const tls = settings.tls === "none"
      ? undefined
      : this.#options.tls.get(settings.clientCertificate);
    const listener: ServerListener = {
      settings,
      tls,
      banner: `220 ${this.#options.settings.hostname} ESMTP Postern\r\n`,
      proxy: networkList(settings.proxyProtocol),
      xclient: networkList(settings.xclient),
    };
    // Behind a PROXY header TLS begins later than the first octet.
    const implicit = settings.tls === "implicit" && settings.proxyProtocol.length === 0;
    return Effect.callback<void, ListenFailed>((resume) => {
      const listening = network.listen(
        settings.listen,
        { ...(implicit && tls !== undefined ? { tls } : {}), backlog: 511 },
        (duplex) => this.#accept(listener, duplex),
      );
      void listening.then((port) => {
        if ("error" in port) {
          resume(Effect.fail(new ListenFailed({ listener: settings, error: port.error })));
          return;
        }
        this.#ports.push(port);
        this.addresses.set(settings.name, port.address);
        resume(Effect.void);
      });
    });
  }

  get drain(): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.#draining = true;
      const closing = this.#ports.splice(0).map((port) => port.close());
      for (const session of [...this.#sessions]) session.drain();
      const empty = Effect.callback<void>((resume) => {
        if (this.#sessions.size === 0) resume(Effect.void);
        else this.#empty = () => resume(Effect.void);
      });
      return Effect.promise(() => Promise.all(closing)).pipe(
        Effect.andThen(Effect.timeoutOrElse(empty, {
          duration: this.#options.settings.timeouts.drain,
          orElse: () =>
            Effect.sync(() => {
              for (const session of [...this.#sessions]) session.kill();
            }),
        })),
        Effect.andThen(Effect.sync(() => this.#options.upstreams.close())),
      );
    });
  }

  #accept(listener: ServerListener, duplex: Duplex): void {
    if (this.#draining) {
      duplex.destroy();
      return;
    }
    if (!this.#admission.enter()) {
      turnAway(duplex);
      return;
    }
    if (listener.proxy(duplex.remote.address)) {
      readProxyHeader(this.#options, listener, duplex, (facts, already) => {
        if (facts === undefined) this.#admission.leave();
        else this.#begin(listener, duplex, facts, already);
      });
      return;
    }
    if (listener.settings.tls === "implicit" && duplex.tls === undefined) {
      this.#upgrade(listener, duplex, undefined, duplex);
      return;
    }
    this.#begin(listener, duplex, duplex);
  }

  /** `who`: the ends of the connection, as a PROXY header told them or as they are. */
  #begin(
    listener: ServerListener,
    duplex: Duplex,
    who: { readonly remote: Endpoint; readonly local: Endpoint },
    already?: Uint8Array,
  ): void {
    if (listener.settings.tls === "implicit" && duplex.tls === undefined) {
      this.#upgrade(listener, duplex, already, who);
      return;
    }
    const { settings, idPrefix, now } = this.#options;
    if (!this.#admission.enterAddress(who.remote.address)) {
      this.#admission.leave();
      this.#options.log.event("info", "too many connections", { client: who.remote.address });
      turnAway(duplex);
      return;
    }
    this.#counter += 1;
    const facts = new Facts(
      `${idPrefix}${this.#counter.toString(36)}`,
      listener.settings.name,
      settings.hostname,
      now(),
      { remote: who.remote, local: who.local, tls: duplex.tls },
    );
    const session = new Session(this.#context, listener, facts, duplex);
    this.#sessions.add(session);
    session.admitted = who.remote.address;
    session.start(already);
  }

  #upgrade(
    listener: ServerListener,
    duplex: Duplex,
    already: Uint8Array | undefined,
    who: { readonly remote: Endpoint; readonly local: Endpoint },
  ): void {
    const { tls } = listener;
    if (tls === undefined) {
      duplex.destroy();
      this.#admission.leave();
      return;
    }
    let left = false;
    const leave = (): void => {
      if (left) return;
      left = true;
      this.#admission.leave();
    };
    duplex.handle({ data: () => {}, end: () => {}, drain: () => {}, close: leave });
    duplex.upgradeServer(tls, "", (error) => {
      if (error === undefined && !left) this.#begin(listener, duplex, who);
      else leave();
    }, already);
  }

  #closed(session: Session): void {
    this.#sessions.delete(session);
    this.#admission.leave();
    this.#admission.leaveAddress(session.admitted);
    if (this.#draining && this.#sessions.size === 0) this.#empty();
  }

  #policyFor(listener: ServerListener, facts: SessionFacts): ServerPolicy {
    const { hostname, limits } = this.#options.settings;
    const { settings: own } = listener;
    return {
      hostname,
      starttls: own.tls === "starttls" && listener.tls !== undefined,
      requireTls: own.requireTls,
      auth: own.auth,
      plaintextAuth: own.authPlaintextLoopback && isLoopback(facts.remote.address),
      mechanisms: this.#options.pipeline.mechanisms(own.name),
      xclient: listener.xclient(facts.remote.address),
      offer: this.#options.upstreams.offer(own.name),
      recipients: limits.recipients,
      transactions: limits.transactions,
      errors: limits.errors,
      idleCommands: limits.idleCommands,
    };
  }
}

/** One reply, then the end: no session for this client now. */
function turnAway(duplex: Duplex): void {
  duplex.handle({ data: () => {}, end: () => duplex.destroy(), drain: () => {}, close: () => {} });
  duplex.resume();
  duplex.write(formatReply(answers.tooMany));
  duplex.end();
}
