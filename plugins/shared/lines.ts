/**
 * Files of lines with fields, as people write them: empty lines and lines that start with `#` are skipped.
 * @module
 */

/** One line that says something. */
export interface Line {
  /** From 1. */
  readonly number: number;
  /** What stands between white space; never empty. */
  readonly fields: readonly string[];
}

/** The lines of a text. Linear in its length. */
export function linesOf(text: string): readonly Line[] {
  const lines: Line[] = [];
  for (const [index, raw] of text.replace(/^\ufeff/, "").split("\n").entries()) {
    const line = raw.trim();
    if (line === "" || line.startsWith("#")) continue;
    lines.push({ number: index + 1, fields: line.split(/\s+/) });
  }
  return lines;
}
