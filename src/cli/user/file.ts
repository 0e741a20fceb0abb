/**
 * The text of a users file: lines `name:<PHC hash or SCRAM secret>`, blank lines, and comments that start with `#`.
 * Pure. Lines that are not touched stay as they are, in their order.
 * @module
 */

/** Why a login name cannot stand in a users file; undefined when it can. */
export function nameProblem(name: string): string | undefined {
  if (name === "") return "it is empty";
  if (new TextEncoder().encode(name).length > 255) return "it is longer than 255 octets";
  if (name.startsWith("#")) return "it starts with #, which makes the line a comment";
  if (name !== name.trim()) return "it starts or ends with a space";
  // deno-lint-ignore no-control-regex
  if (/[:\x00-\x1f\x7f-\x9f]/.test(name)) return "it holds a colon or a control character";
  return undefined;
}

/** The login names, in the file's order. */
export function listUsers(text: string): readonly string[] {
  return text.split("\n").map(nameOf).filter((name) => name !== undefined);
}

/**
 * The text with `name` set to `hash`: in the place of its line, or at the end. Further lines of the same name are
 * taken out, for an old password must not stay valid behind a new one.
 */
export function setUser(
  text: string,
  name: string,
  hash: string,
): { readonly text: string; readonly replaced: boolean } {
  const lines = linesOf(text);
  const first = lines.findIndex((line) => nameOf(line) === name);
  const line = `${name}:${hash}`;
  const kept = lines.filter((old, index) => index === first || nameOf(old) !== name)
    .map((old) => nameOf(old) === name ? line : old);
  if (first === -1) kept.push(line);
  return { text: joined(kept), replaced: first !== -1 };
}

/** The text without `name`; undefined when it is not there. */
export function removeUser(text: string, name: string): string | undefined {
  const lines = linesOf(text);
  const kept = lines.filter((line) => nameOf(line) !== name);
  return kept.length === lines.length ? undefined : joined(kept);
}

function nameOf(line: string): string | undefined {
  if (line.startsWith("#")) return undefined;
  const at = line.indexOf(":");
  return at < 1 ? undefined : line.slice(0, at);
}

function linesOf(text: string): readonly string[] {
  if (text === "") return [];
  return (text.endsWith("\n") ? text.slice(0, -1) : text).split("\n");
}

function joined(lines: readonly string[]): string {
  return lines.length === 0 ? "" : `${lines.join("\n")}\n`;
}
