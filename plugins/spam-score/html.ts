/**
 * What a person sees of HTML, and what the markup says about who wrote it.
 *
 * A scanner that goes from `<` to `<`, not a parser: it builds no tree, runs nothing and never fails. One pass; a search
 * that found nothing is not made again, so the cost is linear whatever is sent.
 * @module
 */

/** A link: where it leads, and what a person reads there. */
export interface Link {
  readonly href: string;
  readonly text: string;
}

/** What is in an HTML text. */
export interface Html {
  /** Text without markup, entities decoded. */
  readonly text: string;
  /** Addresses of links, images, forms, in order. */
  readonly urls: readonly string[];
  readonly links: readonly Link[];
  /** Lower-case names of what markup was met: `a`, `img`, `form`, `script`... and `hidden`, `split-word`. */
  readonly features: ReadonlySet<string>;
  readonly images: number;
}

/** Links and addresses that are kept. */
const most = 200;
/** Characters of one tag that are read. */
const longestTag = 2000;
/** Characters of a name of a tag or attribute. */
const longestName = 20;
const mostFeatures = 100;

const SLASH = 47;
const EQUALS = 61;
const QUOTE = 34;
const APOSTROPHE = 39;

/** A reader sees a gap there. */
const BLOCK = 1;
/** Stands inside words for good reasons. */
const INLINE = 2;
/** Has attributes that say something. */
const TELLING = 4;

const kinds: ReadonlyMap<string, number> = new Map(
  ([
    ["p br tr th li ul ol h1 h2 h3 h4 h5 h6 hr center blockquote title option", BLOCK],
    ["html head script style", BLOCK],
    ["div td table body form img input iframe frame area link base embed object", BLOCK | TELLING],
    ["abbr b em i s small strong sub sup u wbr", INLINE],
    ["a font span", INLINE | TELLING],
  ] as const).flatMap(([names, kind]) => names.split(" ").map((name) => [name, kind] as const)),
);
/** Attributes that are read. */
const wanted: ReadonlySet<string> = new Set(
  "href src action background style color size".split(" "),
);
const hiding =
  /display\s{0,3}:\s{0,3}none|visibility\s{0,3}:\s{0,3}hidden|font-size\s{0,3}:\s{0,3}[01](?:px|pt|em)?\s{0,3}(?:;|$)|(?:max-)?height\s{0,3}:\s{0,3}0/i;

const entities: ReadonlyMap<string, string> = new Map([
  ["amp", "&"],
  ["lt", "<"],
  ["gt", ">"],
  ["quot", '"'],
  ["apos", "'"],
  ["nbsp", " "],
  ["copy", "\u00a9"],
  ["reg", "\u00ae"],
  ["trade", "\u2122"],
  ["euro", "\u20ac"],
  ["pound", "\u00a3"],
  ["shy", ""],
  ["zwnj", ""],
  ["zwj", ""],
]);

/** Text with its character references decoded; unknown ones are a space. */
export function decodeEntities(text: string): string {
  if (!text.includes("&")) return text;
  return text.replace(/&(?:#(\d{1,7})|#x([0-9a-f]{1,6})|([a-z]{2,8}));?/gi, (_, dec, hex, name) => {
    if (name !== undefined) return entities.get(name.toLowerCase()) ?? " ";
    const code = dec === undefined ? parseInt(hex, 16) : Number(dec);
    return code > 0x10ffff || code === 0 ? " " : String.fromCodePoint(code);
  });
}

/** Reads HTML. */
export function readHtml(html: string): Html {
  return new Reader(html).read();
}

class Reader {
  readonly #html: string;
  readonly #features = new Set<string>();
  readonly #urls: string[] = [];
  readonly #links: Link[] = [];
  readonly #pieces: string[] = [];
  #images = 0;
  #href: string | undefined;
  #linkFrom = 0;
  /** What is not found once is not there behind that place either. */
  readonly #missing = new Set<string>();
  #lower: string | undefined;

  constructor(html: string) {
    this.#html = html;
  }

  read(): Html {
    const html = this.#html;
    let at = 0;
    for (let open = html.indexOf("<"); open >= 0; open = html.indexOf("<", at)) {
      this.#text(at, open);
      at = open;
      const comment = html.startsWith("<!--", open) ? this.#find("-->", open + 4) : -1;
      if (comment >= 0) {
        // V<!-- x -->iagra: nobody writes that.
        at = comment + 3;
        if (isLetter(html, open - 1) && isLetter(html, at)) this.#features.add("split-word");
        continue;
      }
      const close = this.#find(">", open + 1);
      if (close < 0) break;
      at = this.#tag(open, close);
    }
    this.#text(at, html.length);
    this.#endLink();
    return {
      text: this.#pieces.join(""),
      urls: this.#urls,
      links: this.#links,
      features: this.#features,
      images: this.#images,
    };
  }

  #find(what: string, from: number): number {
    if (this.#missing.has(what)) return -1;
    const text = what.startsWith("</") ? this.#lower ??= this.#html.toLowerCase() : this.#html;
    const found = text.indexOf(what, from);
    if (found < 0) this.#missing.add(what);
    return found;
  }

  #text(from: number, to: number): void {
    if (to > from) this.#pieces.push(decodeEntities(this.#html.slice(from, to)));
  }

  /** The tag from `open` to `close`; gives where to go on. */
  #tag(open: number, close: number): number {
    const html = this.#html;
    const ends = html.charCodeAt(open + 1) === SLASH;
    const start = ends ? open + 2 : open + 1;
    let i = start;
    while (i < close && i < start + longestName && isNameChar(html.charCodeAt(i))) i++;
    const after = close + 1;
    if (i === start) return after;
    const written = html.slice(start, i);
    // Most are in lower case, and known.
    const name = kinds.has(written) ? written : written.toLowerCase();
    if (this.#features.size < mostFeatures) this.#features.add(name);
    const kind = kinds.get(name) ?? 0;
    if ((kind & BLOCK) !== 0) this.#pieces.push("\n");
    else if ((kind & INLINE) === 0 && isLetter(html, open - 1) && isLetter(html, after)) {
      this.#features.add("split-word");
    }
    if (name === "a") {
      this.#endLink();
      this.#linkFrom = this.#pieces.length;
    }
    if (ends) return after;
    if (name === "img") this.#images++;
    if ((kind & TELLING) !== 0) this.#attributes(name, i, Math.min(close, open + longestTag));
    if (name !== "script" && name !== "style") return after;
    const end = this.#find(`</${name}`, after);
    return end < 0 ? after : end;
  }

  #attributes(tag: string, from: number, to: number): void {
    const html = this.#html;
    let i = from;
    while (i < to) {
      while (i < to && !isNameChar(html.charCodeAt(i))) i++;
      const start = i;
      while (i < to && isNameChar(html.charCodeAt(i))) i++;
      const name = i - start > longestName ? "" : html.slice(start, i).toLowerCase();
      while (i < to && isSpace(html.charCodeAt(i))) i++;
      if (html.charCodeAt(i) !== EQUALS || i >= to) continue;
      i++;
      while (i < to && isSpace(html.charCodeAt(i))) i++;
      const quote = html.charCodeAt(i);
      let valueFrom = i;
      let valueTo: number;
      if (quote === QUOTE || quote === APOSTROPHE) {
        valueFrom++;
        const end = html.indexOf(quote === QUOTE ? '"' : "'", valueFrom);
        valueTo = end < 0 || end > to ? to : end;
        i = valueTo + 1;
      } else {
        while (i < to && !isSpace(html.charCodeAt(i))) i++;
        valueTo = i;
      }
      if (wanted.has(name)) this.#attribute(tag, name, html.slice(valueFrom, valueTo));
    }
  }

  #attribute(tag: string, name: string, value: string): void {
    switch (name) {
      case "style":
        if (hiding.test(value)) this.#features.add("hidden");
        return;
      case "color":
        if (tag === "font" && /^(?:#?f{6}|#?f{3}|white)$/i.test(value)) {
          this.#features.add("white-text");
        }
        return;
      case "size":
        if (tag === "font" && /^(?:\+?[5-9]|\+[0-9])/.test(value)) this.#features.add("big-font");
        return;
      default: {
        const url = decodeEntities(value.slice(0, 1000)).trim();
        if (this.#urls.length < most && url !== "") this.#urls.push(url);
        if (tag === "a" && name === "href") this.#href = url;
      }
    }
  }

  #endLink(): void {
    if (this.#href === undefined) return;
    if (this.#links.length < most) {
      const text = this.#pieces.slice(this.#linkFrom, this.#linkFrom + 20).join("");
      this.#links.push({ href: this.#href, text: text.trim().slice(0, 300) });
    }
    this.#href = undefined;
  }
}

function isNameChar(code: number): boolean {
  const letter = (code | 32) - 97;
  return (letter >= 0 && letter < 26) || (code >= 48 && code <= 57) || code === 45;
}

function isSpace(code: number): boolean {
  return code === 32 || (code >= 9 && code <= 13);
}

function isLetter(text: string, at: number): boolean {
  const code = (text.charCodeAt(at) | 32) - 97;
  return code >= 0 && code < 26;
}
