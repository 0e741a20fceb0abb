/**
 * The parts of a body (RFC 2045, RFC 2046): where each begins and ends, what it says it is, and what is odd about that.
 *
 * A reader for judging, not for showing: it looks at the structure as it was sent and notes what a library would mend in
 * silence. One pass over the lines; depth, parts and header sizes are bounded, so the cost is linear whatever is sent.
 * Never: decodes a part, fails, keeps the octets.
 * @module
 */
import { decodeParameter, decodeWords } from "./words.ts";

/** What is odd about a structure. */
export type Oddity =
  /** A multipart without a boundary. */
  | "boundary-missing"
  /** The boundary that was told never comes. */
  | "no-parts"
  /** The closing boundary never comes. */
  | "unclosed"
  /** Parts inside parts, beyond what is looked at. */
  | "too-deep"
  /** More parts than are looked at. */
  | "too-many"
  /** A Content-Transfer-Encoding that nobody knows, or an encoded multipart. */
  | "bad-encoding";

/** One part that holds no other parts. */
export interface Part {
  /** `type/subtype` in lower case; `text/plain` where none is told. */
  readonly type: string;
  /** In lower case; `""` where none is told. */
  readonly charset: string;
  /** In lower case; `7bit` where none is told. */
  readonly encoding: string;
  /** Told to be an attachment. */
  readonly attached: boolean;
  /** File name, decoded; `""` where there is none. */
  readonly name: string;
  /** First octet of the content. */
  readonly start: number;
  /** Octet behind the content. */
  readonly end: number;
}

/** The parts of one body. */
export interface Structure {
  /** In order, at most {@linkcode mostParts}. */
  readonly parts: readonly Part[];
  readonly oddities: ReadonlySet<Oddity>;
}

/** Fields of a part, or of the message. */
export interface PartHeader {
  readonly type: string | undefined;
  readonly encoding: string | undefined;
  readonly disposition: string | undefined;
}

/** Parts that are looked at. */
export const mostParts = 100;
/** Multiparts and messages inside each other that are looked at. */
export const deepest = 8;
/** Octets of one part's header that are read. */
const longestHeader = 8192;

const LF = 10;
const CR = 13;
const DASH = 45;

const known: ReadonlySet<string> = new Set([
  "7bit",
  "8bit",
  "binary",
  "quoted-printable",
  "base64",
]);
const ascii = new TextEncoder();
const utf8 = new TextDecoder();

/** One multipart, or one message inside the message, that is open. */
interface Open {
  /** `--boundary` as octets; undefined for a message, which ends where the part around it ends. */
  readonly line: Uint8Array | undefined;
  seen: boolean;
  closed: boolean;
}

type Told = Omit<Part, "start" | "end"> & { readonly boundary: string | undefined };

/** Walks a body. `complete`: the octets are all of it, not only its beginning. */
export function structure(octets: Uint8Array, header: PartHeader, complete = true): Structure {
  return new Walk(octets, complete).run(header);
}

class Walk {
  readonly #octets: Uint8Array;
  readonly #complete: boolean;
  readonly #parts: Part[] = [];
  readonly #oddities = new Set<Oddity>();
  readonly #open: Open[] = [];
  /** The leaf that is being walked through. */
  #leaf: Told | undefined;
  #start = 0;

  constructor(octets: Uint8Array, complete: boolean) {
    this.#octets = octets;
    this.#complete = complete;
  }

  run(header: PartHeader): Structure {
    const octets = this.#octets;
    let at = this.#enter(told(header), 0);
    // Without a boundary that could come there is nothing to look for.
    while (this.#open.length > 0 && at < octets.length) {
      const feed = octets.indexOf(LF, at);
      const next = feed < 0 ? octets.length : feed + 1;
      if (octets[at] === DASH && octets[at + 1] === DASH) {
        const after = this.#boundary(at, next);
        if (after === undefined) break;
        at = after;
      } else {
        at = next;
      }
    }
    this.#leave(octets.length);
    for (const { line, seen, closed } of this.#open) {
      if (line === undefined) continue;
      if (!seen) this.#oddities.add("no-parts");
      else if (!closed && this.#complete && !this.#oddities.has("too-many")) {
        this.#oddities.add("unclosed");
      }
    }
    return { parts: this.#parts, oddities: this.#oddities };
  }

  /** A part whose content begins at `at`; gives where to go on. */
  #enter(part: Told, at: number): number {
    const multipart = part.type.startsWith("multipart/");
    const message = part.type === "message/rfc822";
    if (!known.has(part.encoding)) this.#oddities.add("bad-encoding");
    if ((multipart || message) && this.#open.length >= deepest) {
      this.#oddities.add("too-deep");
    } else if (multipart) {
      if (/^(?:quoted-printable|base64)$/.test(part.encoding)) this.#oddities.add("bad-encoding");
      if (part.boundary !== undefined) {
        this.#open.push({
          line: ascii.encode(`--${part.boundary}`),
          seen: false,
          closed: false,
        });
        this.#leaf = undefined;
        return at;
      }
      this.#oddities.add("boundary-missing");
    } else if (message && part.encoding !== "base64" && part.encoding !== "quoted-printable") {
      this.#open.push({ line: undefined, seen: true, closed: false });
      return this.#header(at);
    }
    this.#leaf = part;
    this.#start = at;
    return at;
  }

  /** A line that begins with two dashes; gives where to go on, or nothing at the end of what is looked at. */
  #boundary(at: number, next: number): number | undefined {
    for (let depth = this.#open.length - 1; depth >= 0; depth--) {
      const open = this.#open[depth]!;
      if (open.line === undefined || !startsWith(this.#octets, at, open.line)) continue;
      const end = at + open.line.length;
      const closing = this.#octets[end] === DASH && this.#octets[end + 1] === DASH;
      if (!blank(this.#octets, closing ? end + 2 : end, next)) continue;
      this.#leave(at);
      for (const inner of this.#open.splice(depth + 1)) {
        if (inner.line !== undefined && !inner.closed) {
          this.#oddities.add(inner.seen ? "unclosed" : "no-parts");
        }
      }
      open.seen = true;
      if (closing) {
        open.closed = true;
        if (depth > 0) this.#open.pop();
        return next;
      }
      if (this.#parts.length >= mostParts) {
        this.#oddities.add("too-many");
        return undefined;
      }
      return this.#header(next);
    }
    return next;
  }

  /** The header of a part, which begins at `at`. */
  #header(at: number): number {
    const octets = this.#octets;
    let line = at;
    while (line < octets.length) {
      const feed = octets.indexOf(LF, line);
      const next = feed < 0 ? octets.length : feed + 1;
      if (feed === line || (feed === line + 1 && octets[line] === CR)) {
        return this.#enter(told(fields(octets, at, line)), next);
      }
      // A part without the empty line: the next boundary ends its header.
      if (octets[line] === DASH && octets[line + 1] === DASH) break;
      line = next;
    }
    return this.#enter(told(fields(octets, at, line)), line);
  }

  /** The leaf at hand ends before `at`. */
  #leave(at: number): void {
    if (this.#leaf === undefined) return;
    const { boundary: _, ...part } = this.#leaf;
    // The line end before a boundary belongs to the boundary.
    let end = at;
    if (this.#open.length > 0 && end > this.#start && this.#octets[end - 1] === LF) {
      end--;
      if (end > this.#start && this.#octets[end - 1] === CR) end--;
    }
    if (this.#parts.length < mostParts) this.#parts.push({ ...part, start: this.#start, end });
    else this.#oddities.add("too-many");
    this.#leaf = undefined;
  }
}

function startsWith(octets: Uint8Array, at: number, prefix: Uint8Array): boolean {
  if (at + prefix.length > octets.length) return false;
  for (let i = 0; i < prefix.length; i++) if (octets[at + i] !== prefix[i]) return false;
  return true;
}

/** Nothing but white space from `at` to the line's end: `--boundary2` is not `--boundary`. */
function blank(octets: Uint8Array, at: number, next: number): boolean {
  for (let i = at; i < next; i++) {
    const octet = octets[i]!;
    if (octet !== 32 && octet !== 9 && octet !== CR && octet !== LF) return false;
  }
  return true;
}

/** The fields of a part's header that matter, the first of each name. */
function fields(octets: Uint8Array, start: number, end: number): PartHeader {
  let type: string | undefined;
  let encoding: string | undefined;
  let disposition: string | undefined;
  const text = utf8.decode(octets.subarray(start, Math.min(end, start + longestHeader)));
  for (const line of text.replace(/\r?\n[ \t]/g, " ").split("\n")) {
    const colon = line.indexOf(":");
    if (colon < 0 || colon > 40) continue;
    const value = line.slice(colon + 1, colon + 2000).trim();
    switch (line.slice(0, colon).trimEnd().toLowerCase()) {
      case "content-type":
        type ??= value;
        break;
      case "content-transfer-encoding":
        encoding ??= value;
        break;
      case "content-disposition":
        disposition ??= value;
        break;
    }
  }
  return { type, encoding, disposition };
}

/** What a part says of itself. */
function told({ type, encoding, disposition }: PartHeader): Told {
  const kind = parameters(type ?? "");
  const place = parameters(disposition ?? "");
  const boundary = kind.get("boundary")?.slice(0, 200);
  return {
    type: /^[a-z0-9!#$&^_.+-]{1,60}\/[a-z0-9!#$&^_.+-]{1,100}$/.test(kind.value)
      ? kind.value
      : "text/plain",
    charset: (kind.get("charset") ?? "").toLowerCase().slice(0, 40),
    encoding: encoding === undefined || encoding.trim() === ""
      ? "7bit"
      : parameters(encoding).value.slice(0, 40),
    attached: place.value === "attachment",
    name: decodeWords((place.get("filename") ?? kind.get("name") ?? "").slice(0, 500)),
    boundary: boundary === undefined || boundary.trimEnd() === "" ? undefined : boundary.trimEnd(),
  };
}

/** `value; name=value; name="value"` (RFC 2045 section 5.1, RFC 2231 names), cut at 2,000 characters and 20 parameters. */
class Parameters {
  readonly #values = new Map<string, string>();
  /** Some name has a star: RFC 2231 is at work. */
  #extended = false;
  constructor(readonly value: string) {}

  add(name: string, value: string): void {
    if (name.includes("*")) this.#extended = true;
    if (!this.#values.has(name)) this.#values.set(name, value);
  }

  /** The parameter in any of the forms of RFC 2231. */
  get(name: string): string | undefined {
    const plain = this.#values.get(name);
    if (plain !== undefined || !this.#extended) return plain;
    const extended = this.#values.get(`${name}*`);
    if (extended !== undefined) return decodeParameter(extended);
    let joined = "";
    let coded = false;
    for (let i = 0; i < 20; i++) {
      const piece = this.#values.get(`${name}*${i}*`);
      const next = piece ?? this.#values.get(`${name}*${i}`);
      if (next === undefined) break;
      if (piece !== undefined) coded = true;
      joined += next;
    }
    return joined === "" ? undefined : coded ? decodeParameter(joined) : joined;
  }
}

function parameters(text: string): Parameters {
  const short = text.slice(0, 2000);
  const first = short.search(/[;\s(]/);
  const found = new Parameters((first < 0 ? short : short.slice(0, first)).toLowerCase());
  let count = 0;
  let at = short.indexOf(";");
  while (at >= 0 && at < short.length && count++ < 20) {
    const equals = short.indexOf("=", at);
    if (equals < 0) break;
    const name = short.slice(at + 1, equals).trim().toLowerCase();
    let i = equals + 1;
    while (short[i] === " " || short[i] === "\t") i++;
    let value = "";
    if (short[i] === '"') {
      for (i++; i < short.length && short[i] !== '"'; i++) {
        if (short[i] === "\\") i++;
        value += short[i] ?? "";
      }
      at = short.indexOf(";", i);
    } else {
      at = short.indexOf(";", i);
      value = short.slice(i, at < 0 ? undefined : at).replace(/[\s(].*$/s, "");
    }
    found.add(name, value);
  }
  return found;
}
