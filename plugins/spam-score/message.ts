/**
 * What the rules look at: session, envelope, and the header fields that matter, read in one pass and cut to a bound.
 * @module
 */
import type { HeaderView, SessionFacts, TransactionFacts } from "@postern/postern/plugin";
import { type Named, parseAddresses } from "./addresses.ts";
import { type ReadDate, readDate } from "./dates.ts";
import type { PartHeader } from "./mime.ts";
import { decodeWords } from "./words.ts";

/** Facts before the content. */
export interface Envelope {
  readonly session: SessionFacts;
  readonly tx: TransactionFacts;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

/** Longest value that a rule reads. */
const longestValue = 4096;

/** Fields whose length says nothing. */
const longByNature: ReadonlySet<string> = new Set([
  "to",
  "cc",
  "bcc",
  "references",
  "dkim-signature",
  "autocrypt",
]);

/** Fields that rules ask for. */
const wanted: ReadonlySet<string> = new Set([
  "from",
  "sender",
  "reply-to",
  "to",
  "cc",
  "bcc",
  "date",
  "message-id",
  "in-reply-to",
  "references",
  "subject",
  "mime-version",
  "content-type",
  "content-transfer-encoding",
  "content-disposition",
  "importance",
  "x-priority",
  "received",
  "x-mailer",
  "user-agent",
  "dkim-signature",
  "list-id",
]);

/** Facts of a whole header block. */
export class Message implements Envelope {
  readonly session: SessionFacts;
  readonly tx: TransactionFacts;
  readonly now: number;
  /** Length of the longest field that is not long by nature. */
  readonly longestField: number;
  /** Whether any field holds text beyond US-ASCII. */
  readonly raw8bit: boolean;
  /** Names of fields that only a spam filter may write and that came with the message, in lower case. */
  readonly spamFields: ReadonlySet<string>;
  readonly #fields = new Map<string, string[]>();
  #from: readonly Named[] | undefined;
  #subject: string | undefined;
  #date: ReadDate | undefined | null = null;

  constructor(envelope: Envelope, view: HeaderView, prefix = "x-spam-") {
    this.session = envelope.session;
    this.tx = envelope.tx;
    this.now = envelope.now;
    let longest = 0;
    let raw8bit = false;
    const spamFields = new Set<string>();
    for (const { name, value } of view.fields()) {
      const lower = name.toLowerCase();
      if (value.length > longest && !longByNature.has(lower)) longest = value.length;
      if (!raw8bit && /[^\x00-\x7f]/.test(value)) raw8bit = true;
      if (lower.startsWith("x-spam-") || lower.startsWith(prefix)) spamFields.add(lower);
      if (!wanted.has(lower)) continue;
      const values = this.#fields.get(lower);
      if (values === undefined) this.#fields.set(lower, [value.slice(0, longestValue)]);
      else values.push(value.slice(0, longestValue));
    }
    this.longestField = longest;
    this.raw8bit = raw8bit;
    this.spamFields = spamFields;
  }

  /** How many fields of this name there are; lower case. */
  count(name: string): number {
    return this.#fields.get(name)?.length ?? 0;
  }

  /** The first field of this name; lower case. */
  get(name: string): string | undefined {
    return this.#fields.get(name)?.[0];
  }

  /** The last field of this name; lower case. */
  last(name: string): string | undefined {
    return this.#fields.get(name)?.at(-1);
  }

  /** What the message says of its body. */
  get partHeader(): PartHeader {
    return {
      type: this.get("content-type"),
      encoding: this.get("content-transfer-encoding"),
      disposition: this.get("content-disposition"),
    };
  }

  /** Addresses of the first From field. */
  get from(): readonly Named[] {
    return this.#from ??= parseAddresses(this.get("from") ?? "");
  }

  /** The Date field; undefined where it is missing or no date. */
  get sent(): ReadDate | undefined {
    if (this.#date === null) this.#date = readDate(this.get("date") ?? "");
    return this.#date;
  }

  /** The Date field, in milliseconds since the epoch. */
  get date(): number | undefined {
    return this.sent?.time;
  }

  /** The subject, decoded. */
  get subject(): string {
    return this.#subject ??= decodeWords(this.get("subject") ?? "");
  }
}
