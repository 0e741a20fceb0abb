/**
 * The words of a message that the classifier counts: each once, whatever its place, with a prefix for where it stood.
 *
 * Bounded: {@linkcode mostTokens} of at most {@linkcode longestToken} characters, from text that was cut before. Linear.
 * @module
 */
import { domainOf, organisation, parseAddresses } from "./addresses.ts";
import type { Content } from "./content.ts";
import { decodeWords } from "./words.ts";

/** Header fields, as {@linkcode Message} has them and a file can. */
export interface Fields {
  /** The first field of this lower-case name. */
  get(name: string): string | undefined;
}

/** Tokens of one message that are counted. */
export const mostTokens = 4000;
/** Characters of a token. */
export const longestToken = 40;

/** Words: letters and digits of any script, with what stands inside prices, domains and shouting. */
const word =
  /[\p{L}\p{N}$€£][\p{L}\p{N}\p{M}$€£%'’._-]{1,60}[\p{L}\p{N}$€£%]|[\p{L}\p{N}$€£]{2}|!{2,}|\$+/gu;
/** Characters of a word that is kept as it is; a longer one is counted by its length. */
const longestWord = 24;
/** Scripts that put no space between words. */
const unspaced = /[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]/;

/** The tokens of a message. */
export function tokensOf(fields: Fields, content: Content): ReadonlySet<string> {
  const tokens = new Set<string>();
  words(decodeWords(fields.get("subject") ?? ""), "s:", tokens);
  words(decodeWords(fields.get("subject") ?? ""), "", tokens);
  sender(fields.get("from"), "f:", tokens);
  sender(fields.get("reply-to"), "r:", tokens);
  const mailer = fields.get("x-mailer") ?? fields.get("user-agent");
  if (mailer === undefined) add("x:none", tokens);
  else words(mailer.slice(0, 100), "x:", tokens, false);
  parts(content, tokens);
  places(content, tokens);
  for (const { text, html } of content.texts) {
    for (const feature of html?.features ?? []) add(`h:${feature}`, tokens);
    words(text, "", tokens);
  }
  return tokens;
}

/** A token that may hold anything. */
function add(token: string, tokens: Set<string>): void {
  const cut = token.slice(0, longestToken);
  // A line of the model is a token: no line ends, no tabs.
  if (tokens.size < mostTokens && !/[\x00-\x1f\x7f]/.test(cut)) tokens.add(cut);
}

/** Words of a text, and pairs of neighbours. */
function words(source: string, prefix: string, tokens: Set<string>, pairs = true): void {
  let before = "";
  for (const [raw] of source.matchAll(word)) {
    if (tokens.size >= mostTokens) return;
    const lower = raw.toLowerCase();
    if (lower.length > 2 && unspaced.test(lower)) {
      for (let i = 0; i + 1 < lower.length; i++) tokens.add(prefix + lower.slice(i, i + 2));
      before = "";
      continue;
    }
    const token = lower.length > longestWord
      ? `long ${lower[0]} ${Math.floor(lower.length / 10)}`
      : lower;
    tokens.add(prefix + token);
    if (pairs && before !== "" && before.length + token.length < longestToken) {
      tokens.add(`${prefix}${before} ${token}`);
    }
    before = token;
  }
}

/** Who writes: the organisation, and the words of the display name. */
function sender(value: string | undefined, prefix: string, tokens: Set<string>): void {
  if (value === undefined) {
    add(`${prefix}none`, tokens);
    return;
  }
  for (const { name, address } of parseAddresses(value).slice(0, 3)) {
    add(`${prefix}@${organisation(domainOf(address))}`, tokens);
    words(decodeWords(name), prefix, tokens, false);
  }
}

/** What the message is made of. */
function parts(content: Content, tokens: Set<string>): void {
  for (const { type, charset, encoding, name } of content.parts) {
    add(`p:${type}`, tokens);
    if (charset !== "") add(`p:${charset}`, tokens);
    if (encoding !== "7bit" && encoding !== "8bit") add(`p:${encoding}`, tokens);
    const dot = name.lastIndexOf(".");
    if (dot >= 0) add(`p:${name.slice(dot, dot + 10).toLowerCase()}`, tokens);
  }
}

/** Where its links lead. */
function places(content: Content, tokens: Set<string>): void {
  for (const { scheme, host, port } of content.uris) {
    if (host === "") {
      add(`u:${scheme}`, tokens);
      continue;
    }
    add(`u:${host}`, tokens);
    add(`u:${organisation(host)}`, tokens);
    const last = host.slice(host.lastIndexOf("."));
    add(/^\.?[0-9]+$/.test(last) ? "u:ip" : `u:${last}`, tokens);
    if (port !== "" && port !== "80" && port !== "443") add("u:port", tokens);
  }
}
