/**
 * Read-only facts that hooks are given: the session, the transaction, the header block.
 * @module
 */
import type { Mailbox, ReversePath } from "../wire/path.ts";
import type { MailParams, RcptParams } from "../wire/params.ts";
import type { TlsFacts } from "../transport/duplex.ts";

/** Facts of a session. */
export interface SessionFacts {
  /** Unique in the process; stands in the log, the trace and the `Received` field. */
  readonly id: string;
  /** Name of the listener in the configuration. */
  readonly listener: string;
  /** Our name: `hostname` of the configuration. */
  readonly hostname: string;
  /** The client's address and port: after PROXY and XCLIENT, so the real client's. */
  readonly remote: { readonly address: string; readonly port: number };
  /** Our own end. */
  readonly local: { readonly address: string; readonly port: number };
  /** The client's verified host name where known (XCLIENT NAME). */
  readonly clientName: string | undefined;
  /** Argument of HELO or EHLO; `""` before it. */
  readonly helo: string;
  /** True after EHLO. */
  readonly esmtp: boolean;
  /** Undefined while the connection is in plain text. */
  readonly tls: TlsFacts | undefined;
  /** Who has authenticated, and how. */
  readonly identity: Identity | undefined;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
}

/** An authenticated identity. */
export interface Identity {
  /** The login name. */
  readonly user: string;
  /** The SASL mechanism. */
  readonly mechanism: string;
}

/** One accepted recipient. */
export interface Recipient extends Mailbox {
  /** Parameters of its RCPT TO. */
  readonly params: RcptParams;
}

/** Facts of a transaction, as far as it has come. */
export interface TransactionFacts {
  /** Unique in the process: session id, a dot, a counter. */
  readonly id: string;
  /** The session it belongs to. */
  readonly session: SessionFacts;
  /** Reverse-path; `null` is `<>`. */
  readonly from: ReversePath;
  /** Parameters of MAIL FROM. */
  readonly params: MailParams;
  /** Recipients accepted so far. */
  readonly recipients: readonly Recipient[];
  /** Octets of content received so far (in `end`: all of it), in the client's form without transparency dots. */
  readonly size: number;
  /** Sum of all points so far. */
  readonly score: number;
  /** Symbols so far, in order. */
  readonly symbols: readonly { readonly symbol: string; readonly points: number }[];
}

/** The header block: read it, and collect edits that are applied once, after the last hook. Fields of other plugins' edits are not seen. */
export interface HeaderView {
  /** Octets of the block, with the empty line that ends it. */
  readonly size: number;
  /** Unfolded value of the first field of this name (case-insensitive), leading white space removed; undefined where there is none. */
  get(name: string): string | undefined;
  /** Unfolded values of all fields of this name, top to bottom. */
  getAll(name: string): readonly string[];
  /** All fields, top to bottom. */
  fields(): readonly { readonly name: string; readonly value: string }[];
  /** Adds a field above all others (trace fields). Long values are folded; CR, LF and NUL in them throw a `TypeError`. */
  prepend(name: string, value: string): void;
  /** Adds a field below all others. */
  append(name: string, value: string): void;
  /** Replaces the value of the field number `index` of this name (default: the first); adds it where there is none. */
  replace(name: string, value: string, index?: number): void;
  /** Removes every field of this name, or only number `index`. */
  remove(name: string, index?: number): void;
  /** Gives every field of this name another name. */
  rename(name: string, to: string): void;
}
