/**
 * The addresses of a From or Sender field (RFC 5322 section 3.4), read strictly: what could be read in two ways is not
 * read. Whoever shows the message to somebody may read it in the other.
 *
 * Never: takes groups, routes, white space inside an address, or an address in the place of an unquoted name. One pass.
 * @module
 */

/** One address: its parts, the local part unquoted. */
export interface Address {
  readonly local: string;
  /** Lower case. */
  readonly domain: string;
}

const LONGEST = 8192;
const MOST = 50;
const ATOM = /[^\x00-\x20\x7f()<>[\]:;@\\,."]+/y;
const LITERAL = /\[[^\x00-\x20\x7f[\]\\]*\]/y;

interface Token {
  readonly kind: "word" | "quoted" | "literal" | "." | "@" | "<" | ">" | ",";
  readonly text: string;
  /** White space or a comment stands before it. */
  readonly spaced: boolean;
}

/** The addresses of a field, at least one; undefined where there is any doubt. */
export function parseFrom(value: string): readonly Address[] | undefined {
  const tokens = value.length > LONGEST ? undefined : tokensOf(value);
  if (tokens === undefined) return undefined;
  const addresses: Address[] = [];
  let from = 0;
  while (from <= tokens.length) {
    const comma = tokens.findIndex(({ kind }, at) => at >= from && kind === ",");
    const end = comma < 0 ? tokens.length : comma;
    const address = mailbox(tokens.slice(from, end));
    if (address === undefined || addresses.length >= MOST) return undefined;
    addresses.push(address);
    from = end + 1;
  }
  return addresses;
}

function mailbox(tokens: readonly Token[]): Address | undefined {
  const open = tokens.findIndex(({ kind }) => kind === "<");
  if (open < 0) return addrSpec(tokens);
  // A name: words, quoted strings, and the dots of initials.
  const named = tokens.slice(0, open).every(({ kind }) =>
    kind === "word" || kind === "quoted" || kind === "."
  );
  return named && tokens.at(-1)?.kind === ">" ? addrSpec(tokens.slice(open + 1, -1)) : undefined;
}

function addrSpec(tokens: readonly Token[]): Address | undefined {
  const at = tokens.findIndex(({ kind }) => kind === "@");
  const local = tokens.slice(0, at < 0 ? 0 : at);
  const domain = tokens.slice(at + 1);
  if (tokens.some(({ spaced }, i) => i > 0 && spaced)) return undefined;
  const isLiteral = domain.length === 1 && domain[0]?.kind === "literal";
  if (!isDotted(local, ["word", "quoted"]) || !(isLiteral || isDotted(domain, ["word"]))) {
    return undefined;
  }
  const joined = (part: readonly Token[]) => part.map(({ text }) => text).join("");
  return { local: joined(local), domain: joined(domain).toLowerCase() };
}

/** Words with a dot between each two. */
function isDotted(tokens: readonly Token[], words: readonly Token["kind"][]): boolean {
  return tokens.length % 2 === 1 &&
    tokens.every(({ kind }, i) => i % 2 === 0 ? words.includes(kind) : kind === ".");
}

function tokensOf(text: string): readonly Token[] | undefined {
  const tokens: Token[] = [];
  let spaced = false;
  let at = 0;
  while (at < text.length) {
    const char = text[at]!;
    if (char === " " || char === "\t") {
      spaced = true;
      at++;
      continue;
    }
    if (char === "(") {
      const end = commentEnd(text, at);
      if (end === undefined) return undefined;
      spaced = true;
      at = end;
      continue;
    }
    const token = char === '"' ? quoted(text, at) : plain(text, at, char);
    if (token === undefined) return undefined;
    tokens.push({ kind: token.kind, text: token.text, spaced });
    spaced = false;
    at = token.end;
  }
  return tokens;
}

interface Found {
  readonly kind: Token["kind"];
  readonly text: string;
  readonly end: number;
}

function plain(text: string, at: number, char: string): Found | undefined {
  if (char === "." || char === "@" || char === "<" || char === ">" || char === ",") {
    return { kind: char, text: char, end: at + 1 };
  }
  const pattern = char === "[" ? LITERAL : ATOM;
  pattern.lastIndex = at;
  const found = pattern.exec(text)?.[0];
  if (found === undefined) return undefined;
  return { kind: char === "[" ? "literal" : "word", text: found, end: at + found.length };
}

function quoted(text: string, at: number): Found | undefined {
  let value = "";
  for (let i = at + 1; i < text.length; i++) {
    const char = text[i]!;
    if (char === '"') return { kind: "quoted", text: value, end: i + 1 };
    if (char === "\\") i++;
    const next = text[i];
    if (next === undefined || (next !== "\t" && /[\x00-\x1f\x7f]/.test(next))) return undefined;
    value += next;
  }
  return undefined;
}

/** Behind the comment that begins here; they nest. */
function commentEnd(text: string, at: number): number | undefined {
  let depth = 0;
  for (let i = at; i < text.length; i++) {
    const char = text[i];
    if (char === "\\") i++;
    else if (char === "(") depth++;
    else if (char === ")" && --depth === 0) return i + 1;
  }
  return undefined;
}
