/**
 * A login in a distinguished name (RFC 4514) or a search filter (RFC 4515), escaped so that it stays a value.
 *
 * Both take `\XX` for any octet, so one escaping does for both: every US-ASCII character but letters, digits and `.`, `_`,
 * `-`, `@` is escaped; characters beyond stay as they are, UTF-8 on the wire.
 * @module
 */

/** A value that means itself in a name and in a filter. */
export function escapedValue(text: string): string {
  return text.replace(
    /[\x00-\x7f]/g,
    (c) => /[A-Za-z0-9._@-]/.test(c) ? c : `\\${c.charCodeAt(0).toString(16).padStart(2, "0")}`,
  );
}

const PLACES = /\{(user|local|domain)\}/g;

/** True where the text has a place for the login. */
export function hasPlace(template: string): boolean {
  return /\{(?:user|local|domain)\}/.test(template);
}

/** Fills in `{user}`, and its parts before and behind the last `@`: `{local}`, `{domain}`. */
export function filled(template: string, user: string): string {
  const at = user.lastIndexOf("@");
  const parts = new Map([
    ["user", user],
    ["local", at < 0 ? user : user.slice(0, at)],
    ["domain", at < 0 ? "" : user.slice(at + 1)],
  ]);
  return template.replace(PLACES, (_, place: string) => escapedValue(parts.get(place) ?? ""));
}

/** True where the parentheses of a filter are balanced and enclose it. */
export function isFilter(text: string): boolean {
  if (!/^\(.*\)$/.test(text)) return false;
  let depth = 0;
  for (let at = 0; at < text.length; at++) {
    if (text[at] === "(") depth++;
    if (text[at] === ")" && --depth === 0 && at < text.length - 1) return false;
  }
  return depth === 0;
}
