/**
 * Content that a plugin has made (a `body.transform`), brought to the same canonical form as a client's: CRLF line ends, no bare
 * CR, bare LF or NUL (R10). A plugin is trusted with the text, not with the framing.
 * @module
 */
import { concat } from "../wire/bytes.ts";
import { Receiver } from "../wire/receiver.ts";

/** One message's content in chunks. */
export class Normalizer {
  readonly #receiver = new Receiver({
    commandLine: 512,
    textLine: Infinity,
    longLines: "pass",
    bareNewline: "normalize",
  });

  constructor() {
    this.#receiver.beginMessage();
  }

  /** The next chunk in canonical form; a CR at its end is held until it is known what follows. */
  push(chunk: Uint8Array): Uint8Array {
    const parts: Uint8Array[] = [];
    this.#receiver.bdat(chunk.length);
    this.#receiver.feed(chunk);
    for (;;) {
      const event = this.#receiver.next();
      if (event?.event !== "content") break;
      parts.push(event.chunk);
    }
    return parts.length === 1 ? parts[0] as Uint8Array : concat(parts);
  }

  /** What was held. */
  finish(): Uint8Array {
    return this.#receiver.finishMessage();
  }
}
