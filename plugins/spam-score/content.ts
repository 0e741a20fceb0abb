/**
 * The body of one message: its beginning is kept while it comes, and read when somebody asks.
 *
 * Owns: a copy of the first octets. Nothing is decoded before the first question, so a message that no rule asks about
 * costs a copy.
 * @module
 */
import { isAscii, isCharset, toText, undo } from "./decode.ts";
import { type Html, readHtml } from "./html.ts";
import { type Oddity, type Part, type PartHeader, structure } from "./mime.ts";
import { parseUri, type Uri, urisInText } from "./uris.ts";

/** Octets of a body that are kept. */
export const deepestOctet = 256 * 1024;
/** Octets of text that are decoded, over all parts. */
export const mostText = 64 * 1024;

/** Addresses of the web that are looked at. */
const mostUris = 200;

/** A text part. Its text is made when somebody asks: most rules are about markup, or answered by a few octets. */
export class TextPart {
  readonly part: Part;
  /** Its transfer encoding undone, cut. */
  readonly octets: Uint8Array;
  /** Its transfer encoding was broken. */
  readonly broken: boolean;
  #source: string | undefined;
  #html: Html | undefined;

  constructor(part: Part, octets: Uint8Array, broken: boolean) {
    this.part = part;
    this.octets = octets;
    this.broken = broken;
  }

  /** Told to be HTML. */
  get isHtml(): boolean {
    return this.part.type === "text/html";
  }

  /** As it was written. */
  get source(): string {
    return this.#source ??= toText(this.part.charset, this.octets);
  }

  /** Undefined for other text. */
  get html(): Html | undefined {
    return this.isHtml ? this.#html ??= readHtml(this.source) : undefined;
  }

  /** What a person reads of it. */
  get text(): string {
    return this.html?.text ?? this.source;
  }

  /** Its beginning, as it was written. */
  get opening(): string {
    return toText(this.part.charset, this.octets.subarray(0, 500));
  }

  /** Octets beyond US-ASCII were sent, though it was not told. */
  get raw8bit(): boolean {
    const { encoding, charset } = this.part;
    return encoding === "7bit" && (charset === "" || charset === "us-ascii") &&
      !isAscii(this.octets);
  }

  /** Addresses of the web in it. */
  get urls(): readonly string[] {
    // All character sets but UTF-16 write US-ASCII as US-ASCII: without the mark there is no address.
    const none = !this.isHtml && !this.part.charset.startsWith("utf-16") && !marked(this.octets);
    return none ? [] : [...this.html?.urls ?? [], ...urisInText(this.text)];
  }
}

const COLON = 58;
const SLASH = 47;

/** Whether `://` stands in it. */
function marked(octets: Uint8Array): boolean {
  for (let at = octets.indexOf(COLON); at >= 0; at = octets.indexOf(COLON, at + 1)) {
    if (octets[at + 1] === SLASH && octets[at + 2] === SLASH) return true;
  }
  return false;
}

/** The beginning of a body, while it comes. */
export class Collector {
  readonly #limit: number;
  #octets = new Uint8Array(0);
  #length = 0;
  #seen = 0;

  constructor(limit = deepestOctet) {
    this.#limit = limit;
  }

  /** The next octets. They are copied. */
  feed(chunk: Uint8Array): void {
    this.#seen += chunk.length;
    const room = this.#limit - this.#length;
    if (room <= 0) return;
    const kept = chunk.length > room ? chunk.subarray(0, room) : chunk;
    const needed = this.#length + kept.length;
    if (needed > this.#octets.length) {
      // Doubled, so that many small chunks are copied a bounded number of times each.
      const grown = new Uint8Array(
        Math.min(this.#limit, Math.max(needed, 2 * this.#octets.length)),
      );
      grown.set(this.#octets.subarray(0, this.#length));
      this.#octets = grown;
    }
    this.#octets.set(kept, this.#length);
    this.#length = needed;
  }

  /** What was kept; valid until the next chunk. */
  get octets(): Uint8Array {
    return this.#octets.subarray(0, this.#length);
  }

  /** Whether that is all of the body. */
  get complete(): boolean {
    return this.#seen === this.#length;
  }
}

/** A body that can be asked. */
export class Content {
  readonly octets: Uint8Array;
  readonly complete: boolean;
  readonly parts: readonly Part[];
  readonly oddities: ReadonlySet<Oddity>;
  #texts: readonly TextPart[] | undefined;
  #uris: readonly Uri[] | undefined;

  constructor(octets: Uint8Array, header: PartHeader, complete = true) {
    this.octets = octets;
    this.complete = complete;
    const { parts, oddities } = structure(octets, header, complete);
    this.parts = parts;
    this.oddities = oddities;
  }

  /** The first `count` octets of a part, decoded. */
  start(part: Part, count: number): Uint8Array {
    const raw = this.octets.subarray(part.start, Math.min(part.end, part.start + count * 4));
    return undo(part.encoding, raw).octets.subarray(0, count);
  }

  /** Text parts that are not attachments; of all of them together {@linkcode mostText} octets. */
  get texts(): readonly TextPart[] {
    return this.#texts ??= this.#decode();
  }

  #decode(): readonly TextPart[] {
    const texts: TextPart[] = [];
    let left = mostText;
    for (const part of this.parts) {
      if (left <= 0) break;
      if (!part.type.startsWith("text/") || part.attached) continue;
      const raw = this.octets.subarray(part.start, Math.min(part.end, part.start + 2 * left));
      const { octets, broken } = undo(part.encoding, raw);
      const used = octets.subarray(0, left);
      left -= used.length;
      texts.push(new TextPart(part, used, broken));
    }
    return texts;
  }

  /** Whether a text part's character set has a name nobody knows. */
  get strangeCharset(): string | undefined {
    return this.parts.find((part) => part.type.startsWith("text/") && !isCharset(part.charset))
      ?.charset;
  }

  /** Addresses in text and markup, each once. */
  get uris(): readonly Uri[] {
    if (this.#uris !== undefined) return this.#uris;
    const urls = new Set<string>();
    for (const text of this.texts) {
      for (const url of text.urls) if (urls.size < mostUris) urls.add(url);
    }
    return this.#uris = [...urls].map(parseUri).filter((uri) => uri !== undefined);
  }
}
