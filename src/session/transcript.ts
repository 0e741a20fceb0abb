/**
 * What was said, without what must not be known: the event log of a session in the form of dialogues (`C:`, `S:`, `U>`, `U<`).
 * Credentials (RFC 4954) and content never enter it (R18).
 * @module
 */
import { printable } from "../wire/printable.ts";

/** Whose line it is: client, us, us to the upstream, the upstream to us. */
export type Speaker = "C" | "S" | "U>" | "U<";

const verbs: ReadonlySet<string> = new Set(
  "HELO EHLO MAIL RCPT DATA BDAT RSET NOOP QUIT VRFY EXPN HELP STARTTLS AUTH XCLIENT".split(" "),
);

/**
 * A line fit for a log. Of AUTH only the mechanism is left, and nothing of a challenge, or of a line that may be a response
 * of SASL: a client that pipelines sends them even where AUTH was refused.
 */
export function redact(line: string): string {
  const auth = /^[ \t]*(auth(?:[ \t]+[A-Za-z0-9_-]{1,20}(?![^ \t]))?)/i.exec(line);
  if (auth?.[1] !== undefined) {
    return line.slice(auth[0].length).trim() === "" ? auth[1] : `${auth[1]} ***`;
  }
  // With a challenge of SCRAM, and our signature, passwords could be tried at leisure.
  if (/^334[ -]/.test(line)) return "334 ***";
  if (/^[A-Za-z0-9+/]+={0,2}$/.test(line) && !verbs.has(line.toUpperCase())) return "***";
  // The mechanism alone, where somebody left out `AUTH`.
  const unknown = /^([A-Za-z][A-Za-z0-9_-]{0,19}) +[A-Za-z0-9+/]{16,}={0,2}$/.exec(line)?.[1];
  if (unknown !== undefined && !verbs.has(unknown.toUpperCase())) return `${unknown} ***`;
  return printable(line, 512);
}

/** A bounded list of lines; the oldest go first. */
export class Transcript {
  readonly #lines: string[] = [];
  readonly #limit: number;
  #dropped = 0;

  /** Keeps at most `limit` lines. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** A command or a reply line. */
  line(speaker: Speaker, text: string): void {
    this.#push(`${speaker.length === 1 ? `${speaker}:` : speaker} ${redact(text)}`);
  }

  /** A line of a SASL exchange: only that it was there. */
  secret(speaker: Speaker): void {
    this.#push(`${speaker.length === 1 ? `${speaker}:` : speaker} ***`);
  }

  /** Content: only how much. */
  content(speaker: Speaker, octets: number): void {
    this.#push(`# ${speaker} ${octets} octets of content`);
  }

  /** Everything kept, one line each, as a dialogue. */
  toDialogue(): string {
    const head = this.#dropped > 0 ? [`# ${this.#dropped} earlier lines are not kept`] : [];
    return [...head, ...this.#lines, ""].join("\n");
  }

  #push(text: string): void {
    this.#lines.push(text);
    if (this.#lines.length > this.#limit) {
      this.#lines.shift();
      this.#dropped += 1;
    }
  }
}
