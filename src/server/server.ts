/**
 * The server: listeners, admission, PROXY headers, the set of sessions, drain. Nothing global: two servers live in one process.
 * @module
 */
import * as Data from "effect/Data";
import * as Effect from "effect/Effect";
import type * as Scope from "effect/Scope";
import { networkList } from "../pipeline/networks.ts";
import type { Pipeline } from "../pipeline/pipeline.ts";
import { greetingReply, type ServerPolicy } from "../session/server.ts";
import type { ListenerSettings, Settings } from "../settings/settings.ts";
import type { Log } from "../telemetry/log.ts";
import type { Deadline, Deadlines } from "../transport/deadlines.ts";
import type {
  Duplex,
  Endpoint,
  ListeningPort,
  Network,
  TlsServerContext,
  TransportError,
} from "../transport/duplex.ts";
import type { SpillStore } from "../transport/spill.ts";
import type { Upstreams } from "../upstream/upstreams.ts";
import { formatReply } from "../wire/reply.ts";
import { Admission } from "./admission.ts";
import { answers } from "./answers.ts";
import type { ServerListener } from "./context.ts";
import { Facts } from "./facts.ts";
import { Generation } from "./generation.ts";
import { isLoopback } from "./networks.ts";
import { type ProxiedEnds, readProxyHeader } from "./proxy_header.ts";
import type { Fork } from "./pending.ts";
import type { RefusalRecord, TransactionRecord } from "./record.ts";
import { logRecord } from "./record_log.ts";
import { Session } from "./session.ts";

/** How long a client that was turned away may take to hang up, and how many of them are waited for. */
const lingerMs = 5_000;
const mostTurnedAway = 256;
/** How long sessions that are cut off at the end of the drain time may take to be gone. */
const lastWordsMs = 1_000;

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
  /** The first generation. */
  readonly pipeline: Pipeline;
  readonly upstreams: Upstreams;
  readonly deadlines: Deadlines;
  /** Where held bodies go that are too large for memory. */
  readonly spill: SpillStore;
  readonly log: Log;
  readonly now: () => number;
  /** Unique per process start; begins every session id. */
  readonly idPrefix: string;
  readonly tls: TlsContexts;
  /** Milliseconds, see {@linkcode ServerContext.authDelay}. */
  readonly authDelay: number;
  /** How a session starts what it waits for: a test gives it its own clock. */
  readonly fork?: Fork;
  /** Told of every transaction that is over. */
  readonly recorded?: (record: TransactionRecord) => void;
  /** Told of every refusal without content. */
  readonly refused?: (record: RefusalRecord) => void;
}

/** A server that listens. */
export interface RunningServer {
  /** Real addresses, by the listeners' names. */
  readonly addresses: ReadonlyMap<string, Endpoint>;
  /** Sessions now. */
  readonly sessions: number;
  /** Takes nothing new, lets transactions end, ends the rest after the drain time. */
  readonly drain: Effect.Effect<void>;
  /** New sessions take these plugins; resolves when no session is left that has the former ones. */
  use(pipeline: Pipeline): Promise<void>;
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
  #generation: Generation;
  readonly #ports: ListeningPort[] = [];
  readonly #sessions = new Set<Session>();
  /** Before their session: in a PROXY header or a TLS handshake. */
  readonly #arriving = new Set<Duplex>();
  #turnedAway = 0;
  #counter = 0;
  #draining = false;
  #empty: () => void = () => {};

  constructor(options: ServerOptions) {
    this.#options = options;
    this.#admission = new Admission(options.settings.limits);
    this.#generation = this.#generationOf(options.pipeline);
  }

  #generationOf(pipeline: Pipeline): Generation {
    const options = this.#options;
    const { settings, upstreams, deadlines, spill, log, now, authDelay } = options;
    return new Generation((leave) => ({
      settings,
      pipeline,
      upstreams,
      deadlines,
      spill,
      log,
      now,
      authDelay,
      fork: options.fork ?? Effect.runFork,
      policyFor: (listener, facts) => this.#policyFor(pipeline, listener, facts),
      greeting: (policy, state, ask) => greetingReply(policy, state, ask.name, ask.esmtp),
      recorded: (record) => {
        logRecord(log, record);
        options.recorded?.(record);
      },
      refused: (record) => options.refused?.(record),
      closed: (session) => {
        this.#closed(session);
        leave();
      },
    }));
  }

  use(pipeline: Pipeline): Promise<void> {
    const former = this.#generation;
    this.#generation = this.#generationOf(pipeline);
    return former.retire();
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
    return Effect.callback<void, ListenFailed>((resume) => {
      const listening = network.listen(
        settings.listen,
        // TLS begins after admission, also where it is implicit: a handshake costs more than a place in the count.
        { backlog: 511, upgradable: tls !== undefined },
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
      for (const duplex of [...this.#arriving]) duplex.destroy();
      for (const session of [...this.#sessions]) session.drain();
      const empty = Effect.callback<void>((resume) => {
        if (this.#sessions.size === 0) resume(Effect.void);
        else this.#empty = () => resume(Effect.void);
      });
      return Effect.promise(() => Promise.all(closing)).pipe(
        Effect.andThen(Effect.timeoutOrElse(empty, {
          duration: this.#options.settings.timeouts.drain,
          orElse: () =>
            Effect.suspend(() => {
              for (const session of [...this.#sessions]) session.kill();
              // Their records and files belong to this run; who is between a dot and its reply is not waited for.
              return Effect.timeoutOrElse(empty, {
                duration: lastWordsMs,
                orElse: () => Effect.void,
              });
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
      this.#turnAway(listener, duplex);
      return;
    }
    if (!listener.proxy(duplex.remote.address)) {
      this.#admit(listener, duplex, duplex);
      return;
    }
    this.#arriving.add(duplex);
    readProxyHeader(this.#options, listener, duplex, (ends, already) => {
      this.#arriving.delete(duplex);
      if (ends === undefined) this.#admission.leave();
      else this.#admit(listener, duplex, ends, already);
    });
  }

  /** `who`: the ends of the connection, as a PROXY header told them or as they are. */
  #admit(listener: ServerListener, duplex: Duplex, who: ProxiedEnds, already?: Uint8Array): void {
    if (!this.#admission.enterAddress(who.remote.address)) {
      this.#admission.leave();
      this.#options.log.event("info", "too many connections", { client: who.remote.address });
      this.#turnAway(listener, duplex);
    } else if (listener.settings.tls === "implicit") this.#upgrade(listener, duplex, who, already);
    else this.#begin(listener, duplex, who, already);
  }

  #begin(listener: ServerListener, duplex: Duplex, who: ProxiedEnds, already?: Uint8Array): void {
    const { settings, idPrefix, now } = this.#options;
    this.#counter += 1;
    const facts = new Facts(
      `${idPrefix}${this.#counter.toString(36)}`,
      listener.settings.name,
      settings.hostname,
      now(),
      { remote: who.remote, local: who.local, tls: duplex.tls },
    );
    const generation = this.#generation;
    const session = new Session(generation.context, listener, facts, duplex);
    generation.enter();
    this.#sessions.add(session);
    session.start(already);
  }

  #upgrade(listener: ServerListener, duplex: Duplex, who: ProxiedEnds, already?: Uint8Array): void {
    const leave = (): void => {
      if (!this.#arriving.delete(duplex)) return;
      this.#admission.leave();
      this.#admission.leaveAddress(who.remote.address);
    };
    this.#arriving.add(duplex);
    duplex.handle({ data: () => {}, end: () => {}, drain: () => {}, close: leave });
    if (listener.tls === undefined) {
      duplex.destroy();
      return;
    }
    duplex.upgradeServer(listener.tls, "", (error) => {
      if (error !== undefined) leave();
      else if (this.#arriving.delete(duplex)) this.#begin(listener, duplex, who);
    }, already);
  }

  /** One reply, then the end: no session for this client now. */
  #turnAway(listener: ServerListener, duplex: Duplex): void {
    // Before its handshake a TLS client cannot be told anything; and a flood is told nothing.
    if (listener.settings.tls === "implicit" || this.#turnedAway >= mostTurnedAway) {
      duplex.destroy();
      return;
    }
    const { deadlines } = this.#options;
    const deadline: Deadline = {
      at: deadlines.now + lingerMs,
      expired: () => duplex.destroy(),
    };
    this.#turnedAway += 1;
    deadlines.add(deadline);
    duplex.handle({
      data: () => {},
      end: () => duplex.destroy(),
      drain: () => {},
      close: () => {
        this.#turnedAway -= 1;
        deadlines.delete(deadline);
      },
    });
    duplex.resume();
    duplex.write(formatReply(answers.tooMany));
    duplex.end();
  }

  #closed(session: Session): void {
    this.#sessions.delete(session);
    this.#admission.leave();
    this.#admission.leaveAddress(session.facts.peer.address);
    if (this.#draining && this.#sessions.size === 0) this.#empty();
  }

  #policyFor(pipeline: Pipeline, listener: ServerListener, facts: Facts): ServerPolicy {
    const { hostname, limits } = this.#options.settings;
    const { settings: own } = listener;
    return {
      hostname,
      starttls: own.tls === "starttls" && listener.tls !== undefined,
      requireTls: own.requireTls,
      auth: own.auth,
      plaintextAuth: own.authPlaintextLoopback && isLoopback(facts.remote.address),
      mechanisms: offered(pipeline.mechanisms(own.name, facts), facts),
      xclient: listener.xclient(facts.peer.address),
      offer: this.#options.upstreams.offer(own.name),
      recipients: limits.recipients,
      transactions: limits.transactions,
      errors: limits.errors,
      idleCommands: limits.idleCommands,
    };
  }
}

/** EXTERNAL only to who has shown a certificate (RFC 4422 appendix A.1). */
function offered(mechanisms: readonly string[], { tls }: Facts): readonly string[] {
  return tls?.peer?.verified === true || !mechanisms.includes("EXTERNAL")
    ? mechanisms
    : mechanisms.filter((name) => name !== "EXTERNAL");
}
