/**
 * Text from plugins and from the network on its way to a log or a trace: one event is one line (R26).
 * @module
 */

const UNSAFE = /[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]/gu;

/** Control characters, line separators and lone surrogates as `\u{..}`; cut at `limit` characters. */
export function escapeText(text: string, limit = 1024): string {
  const cut = text.length > limit ? `${text.slice(0, limit)}...` : text;
  return cut.replace(UNSAFE, (c) => `\\u{${(c.codePointAt(0) ?? 0).toString(16)}}`);
}

/** What went wrong, whatever was thrown: a hostile value must not throw again here. Not escaped yet. */
export function describe(cause: unknown): string {
  try {
    const text = cause instanceof Error
      ? [cause.name, cause.message].filter((part) => part !== "").join(": ")
      : String(cause);
    return text.length > 4096 ? text.slice(0, 4096) : text;
  } catch {
    return "A value that cannot be shown";
  }
}
