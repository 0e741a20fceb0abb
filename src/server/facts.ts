/**
 * The session's facts: one mutable object of the driver's behind the read-only view that plugins are given.
 * @module
 */
import type { Identity, SessionFacts } from "../plugin/facts.ts";
import type { Endpoint, TlsFacts } from "../transport/duplex.ts";

/** What is known of a session, as far as it has come. */
export class Facts implements SessionFacts {
  /** Who is at the other end, as far as the listener trusts it: XCLIENT does not change it (R27). */
  readonly peer: Endpoint;
  remote: Endpoint;
  local: Endpoint;
  clientName: string | undefined = undefined;
  helo = "";
  esmtp = false;
  tls: TlsFacts | undefined;
  identity: Identity | undefined = undefined;

  constructor(
    readonly id: string,
    readonly listener: string,
    readonly hostname: string,
    readonly startedAt: number,
    connection: {
      readonly remote: Endpoint;
      readonly local: Endpoint;
      readonly tls: TlsFacts | undefined;
    },
  ) {
    this.peer = connection.remote;
    this.remote = connection.remote;
    this.local = connection.local;
    this.tls = connection.tls;
  }
}
