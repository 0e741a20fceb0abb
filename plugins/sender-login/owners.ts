/**
 * Whose an address is: patterns by login, from a table and from a file of lines `login address...`.
 *
 * Addresses compare without regard to case: no mail system gives `Anna@` to another than `anna@`.
 * @module
 */
import { canonicalLogin } from "../shared/canonical.ts";
import { linesOf } from "../shared/lines.ts";

/** The parts of an address; the domain in lower case. */
export interface Parts {
  readonly local: string;
  readonly domain: string;
}

/** Whether an address is one's own. */
export type Pattern = (address: Parts) => boolean;

/** Canonical login to its patterns. */
export type Owners = ReadonlyMap<string, readonly Pattern[]>;

/** `anna@example.org`, `sales-*@example.org`, `@example.org` or `example.org` for every address of a domain, `*` for all; undefined for what is none. */
export function parsePattern(text: string): Pattern | undefined {
  if (text.length > 320 || /[\s\x00-\x1f\x7f]/.test(text)) return undefined;
  if (text === "*") return () => true;
  const at = text.lastIndexOf("@");
  const local = text.slice(0, Math.max(at, 0)).toLowerCase();
  const domain = text.slice(at + 1).toLowerCase();
  if (domain === "" || (at < 0 && domain.includes("*") && !domain.startsWith("*."))) {
    return undefined;
  }
  const isLocal = local === "" ? () => true : glob(local);
  const isDomain = glob(domain);
  return (address) => isDomain(address.domain) && isLocal(address.local.toLowerCase());
}

/** `*` stands for any text. Linear in the text's length. */
function glob(pattern: string): (text: string) => boolean {
  const parts = pattern.split("*");
  const first = parts[0]!;
  const last = parts.at(-1)!;
  if (parts.length === 1) return (text) => text === pattern;
  const middle = parts.slice(1, -1);
  return (text) => {
    if (text.length < first.length + last.length) return false;
    if (!text.startsWith(first) || !text.endsWith(last)) return false;
    let from = first.length;
    const end = text.length - last.length;
    for (const part of middle) {
      const found = text.indexOf(part, from);
      if (found < 0 || found + part.length > end) return false;
      from = found + part.length;
    }
    return true;
  };
}

/** The owners of a table of the options, whose patterns are right. */
export function ownersOf(table: Readonly<Record<string, readonly string[]>>): Owners {
  return new Map(
    Object.entries(table).map(([login, patterns]) => [
      canonicalLogin(login) ?? login,
      patterns.flatMap((text) => parsePattern(text) ?? []),
    ]),
  );
}

/** The owners of a file: `login address...` a line, commas and a colon behind the login as you like; `broken` are numbers of lines. */
export function parseOwners(
  text: string,
): { readonly owners: Owners; readonly broken: readonly number[] } {
  const owners = new Map<string, Pattern[]>();
  const broken: number[] = [];
  for (const { number, fields } of linesOf(text)) {
    const [name = "", ...rest] = fields;
    const login = canonicalLogin(name.replace(/:$/, ""));
    const patterns = rest.flatMap((field) => field.split(",")).filter((field) => field !== "")
      .map(parsePattern);
    if (login === undefined || patterns.length === 0 || patterns.includes(undefined)) {
      broken.push(number);
      continue;
    }
    const known = owners.get(login) ?? [];
    owners.set(login, known);
    known.push(...patterns.filter((pattern) => pattern !== undefined));
  }
  return { owners, broken };
}

/** The parts of a login that is an address. */
export function partsOf(login: string): Parts | undefined {
  const at = login.lastIndexOf("@");
  return at < 1 || at === login.length - 1
    ? undefined
    : { local: login.slice(0, at), domain: login.slice(at + 1).toLowerCase() };
}
