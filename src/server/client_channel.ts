/**
 * The client's side of the connection as the driver uses it: replies out with their transcript, reading stopped while too
 * much waits, on either side (R29).
 * @module
 */
import { Transcript } from "../session/transcript.ts";
import type { Duplex } from "../transport/duplex.ts";

/** Octets of replies that a client may leave unread before nothing more is read from it. */
const unreadReplies = 65_536;
/** Octets of input that may wait while something is pending. */
const bufferedInput = 262_144;
/** Lines of the transcript that are kept. */
const transcriptLines = 400;

/** One client's connection. */
export class ClientChannel {
  readonly duplex: Duplex;
  /** Kept where the log wants it. */
  readonly transcript: Transcript | undefined;
  #full = false;
  #paused = false;

  constructor(duplex: Duplex, withTranscript: boolean) {
    this.duplex = duplex;
    this.transcript = withTranscript ? new Transcript(transcriptLines) : undefined;
  }

  /** The client does not read its replies: it gets no more of them, and nothing more is read. */
  get full(): boolean {
    return this.#full;
  }

  /** Sends whole lines. */
  write(lines: string): void {
    if (this.transcript !== undefined) {
      for (const line of lines.split("\r\n")) if (line !== "") this.transcript.line("S", line);
    }
    this.duplex.write(lines);
    if (this.duplex.pending > unreadReplies) this.#full = true;
  }

  /** What waited has left; true where that changes anything. */
  drained(): boolean {
    const was = this.#full;
    this.#full = false;
    return was;
  }

  /** So many octets wait to be read by us: too many stop the client. */
  holdBack(waiting: number): void {
    if (this.#paused || waiting <= bufferedInput) return;
    this.#paused = true;
    this.duplex.pause();
  }

  /** Reads on. */
  readOn(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.duplex.resume();
  }
}
