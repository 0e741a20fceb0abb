/**
 * What a rule is: a data row of symbol, points, what it says, when it is asked, and how it is found out.
 * @module
 */
import type { Content } from "./content.ts";
import type { Envelope, Message } from "./message.ts";

/** What every symbol has. */
export interface Row {
  /** `[A-Z0-9_]`. */
  readonly symbol: string;
  readonly points: number;
  readonly description: string;
  /** Asked of strangers only: mail programs of authenticated users leave such things to us. */
  readonly strangers?: true;
}

/** What a check answers. */
export type Finding = boolean | string;

/** A rule over HELO and envelope, asked at DATA. */
export interface EnvelopeRule extends Row {
  readonly check: (facts: Envelope) => Finding;
}

/** A rule over the header block. */
export interface HeaderRule extends Row {
  readonly check: (message: Message) => Finding;
}

/** A rule over the body. */
export interface BodyRule extends Row {
  readonly check: (content: Content, message: Message) => Finding;
}
