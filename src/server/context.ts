/**
 * What all sessions of one generation share. A session keeps the context it began with: reload makes another one.
 * @module
 */
import type { NetworkList } from "../pipeline/networks.ts";
import type { Pipeline } from "../pipeline/pipeline.ts";
import type { Ask, ServerPolicy, ServerState } from "../session/server.ts";
import type { ListenerSettings, Settings } from "../settings/settings.ts";
import type { Log } from "../telemetry/log.ts";
import type { Deadlines } from "../transport/deadlines.ts";
import type { TlsServerContext } from "../transport/duplex.ts";
import type { SpillStore } from "../transport/spill.ts";
import type { Upstreams } from "../upstream/upstreams.ts";
import type { Reply } from "../wire/reply.ts";
import type { Facts } from "./facts.ts";
import type { Fork } from "./pending.ts";
import type { RefusalRecord, TransactionRecord } from "./record.ts";
import type { Session } from "./session.ts";

/** A listener, compiled. */
export interface ServerListener {
  readonly settings: ListenerSettings;
  readonly tls: TlsServerContext | undefined;
  /** `220 mx.example.org ESMTP Postern` with CRLF. */
  readonly banner: string;
  readonly proxy: NetworkList;
  readonly xclient: NetworkList;
}

/** Shared by the sessions of one generation. */
export interface ServerContext {
  readonly settings: Settings;
  readonly pipeline: Pipeline;
  readonly upstreams: Upstreams;
  readonly deadlines: Deadlines;
  /** Where held bodies go that are too large for memory. */
  readonly spill: SpillStore;
  readonly log: Log;
  /** Wall clock, milliseconds. */
  readonly now: () => number;
  /** Milliseconds that the reply to a failed login waits, times the failures so far (R17). */
  readonly authDelay: number;
  readonly fork: Fork;
  /** What this client may do and is offered at this moment. */
  policyFor(listener: ServerListener, facts: Facts): ServerPolicy;
  greeting(policy: ServerPolicy, state: ServerState, ask: Extract<Ask, { ask: "helo" }>): Reply;
  /** A transaction is over. */
  recorded(record: TransactionRecord): void;
  /** A policy or the routes refused something, and no content came. */
  refused(record: RefusalRecord): void;
  closed(session: Session): void;
}
