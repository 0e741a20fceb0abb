/**
 * Field names as rules have them: one name, or all that fit one with a star (`X-Spam-*`).
 * @module
 */
import type { HeaderView } from "@postern/postern/plugin";

/** A name of a rule. */
export interface NamePattern {
  /** As written. */
  readonly name: string;
  readonly key: string;
  /** What stands around the star, in lower case; undefined: the name is one name. */
  readonly around: { readonly before: string; readonly behind: string } | undefined;
}

/** Compiles a name. */
export function namePattern(name: string): NamePattern {
  const key = name.toLowerCase();
  const star = key.indexOf("*");
  const around = star < 0 ? undefined : { before: key.slice(0, star), behind: key.slice(star + 1) };
  return { name, key, around };
}

/** What is wrong with a name's star; undefined: nothing. Fewer letters would mean nearly every field. */
export function starFault(name: string): string | undefined {
  const stars = name.split("*").length - 1;
  if (stars > 1) return "expected one star at most";
  return stars === 1 && name.length < 4
    ? "expected at least three characters beside the star"
    : undefined;
}

/** The keys of the fields of a header that a name means; a plain name is itself, whether or not it is there. */
export function keysOf(
  pattern: NamePattern,
  names: () => ReadonlyMap<string, string>,
): readonly string[] {
  const { key, around } = pattern;
  if (around === undefined) return [key];
  const least = around.before.length + around.behind.length;
  return [...names().keys()].filter((one) =>
    one.length >= least && one.startsWith(around.before) && one.endsWith(around.behind)
  );
}

/** What a name becomes by a rename: the star of `to` is what the star of `from` stood for. */
export function renamed(from: NamePattern, to: NamePattern, name: string): string {
  if (from.around === undefined || to.around === undefined) return to.name;
  const { before, behind } = from.around;
  const part = name.slice(before.length, name.length - behind.length);
  return to.name.replace("*", () => part);
}

/** The names in a header: key to spelling. */
export function namesIn(view: HeaderView): ReadonlyMap<string, string> {
  return new Map(view.fields().map(({ name }) => [name.toLowerCase(), name]));
}
