/**
 * Dialogue files: input and expectation of one session in one text, for both sides of the proxy. The format is told in
 * `docs/dialogues.md`.
 *
 * Never: reads a file, runs anything.
 * @module
 */

/** One line of a dialogue that does something. */
export interface DialogueStep {
  /** From 1. */
  readonly line: number;
  /** What stands at the beginning of the line. */
  readonly kind: "C:" | "C=" | "C!" | "S:" | "S!" | "U>" | "U<" | "U!" | "T:";
  /** What stands behind it. */
  readonly text: string;
}

/** A dialogue file. */
export interface Dialogue {
  readonly name: string;
  /** What stands behind each `config`. */
  readonly config: readonly string[];
  readonly steps: readonly DialogueStep[];
}

const notices = new Map<string, readonly string[]>([
  ["C!", ["starttls", "close", "reset", "connect"]],
  ["S!", ["closed"]],
  ["U!", ["connect", "starttls", "close", "reset", "closed", "closed before dot"]],
]);

/** Reads a dialogue; an error names file and line. */
export function parseDialogue(name: string, text: string): Dialogue {
  const config: string[] = [];
  const steps: DialogueStep[] = [];
  for (const [index, raw] of text.split("\n").entries()) {
    const line = index + 1;
    const source = raw.endsWith("\r") ? raw.slice(0, -1) : raw;
    if (source.trim() === "" || source.startsWith("#")) continue;
    const setting = /^config\s+(.*)$/.exec(source);
    if (setting !== null) {
      config.push(setting[1] ?? "");
      continue;
    }
    const match = /^(C:|C=|C!|S:|S!|U>|U<|U!|T:)(?: (.*))?$/.exec(source);
    if (match === null) throw new Error(`${name}:${line}: Not a line of a dialogue: ${source}`);
    const step: DialogueStep = {
      line,
      kind: match[1] as DialogueStep["kind"],
      text: match[2] ?? "",
    };
    const known = notices.get(step.kind);
    if (known !== undefined && !known.includes(step.text)) {
      throw new Error(
        `${name}:${line}: Unknown event: ${step.kind} ${step.text}; expected ${known.join(", ")}`,
      );
    }
    if (step.kind === "C=") octetsOf(step.text, `${name}:${line}`);
    if (step.kind === "T:") millisecondsOf(step.text, `${name}:${line}`);
    steps.push(step);
  }
  for (const [index, step] of steps.entries()) {
    if (!isGap(step) || steps.slice(index + 1).some((s) => s.kind === step.kind)) continue;
    throw new Error(`${name}:${step.line}: Nothing follows the gap: ${step.kind} ${step.text}`);
  }
  return { name, config, steps };
}

/** `...`: any number of lines. */
export function isGap(step: DialogueStep): boolean {
  return (step.kind === "S:" || step.kind === "U>") && step.text === "...";
}

/** Whether a line is what a pattern says: `*` is any text, `\*` a star, everything else itself. */
export function matches(pattern: string, line: string): boolean {
  const source = pattern.replace(/\\\*|\*|[\\^$.+?()[\]{}|]/g, (part) => {
    if (part === "\\*") return part;
    return part === "*" ? ".*" : `\\${part}`;
  });
  return new RegExp(`^${source}$`, "su").test(line);
}

/** The time of a `T:` line: `250ms`, `5s`, `10m`, `1h`. */
export function millisecondsOf(text: string, where: string): number {
  const match = /^(\d{1,6})(ms|s|m|h)$/.exec(text);
  if (match === null) {
    throw new Error(`${where}: Not a time: ${text}; expected such as 250ms, 5s, 10m`);
  }
  const units = new Map([["ms", 1], ["s", 1_000], ["m", 60_000], ["h", 3_600_000]]);
  return Number(match[1]) * (units.get(match[2] ?? "") ?? 0);
}

/** The octets of a `C=` line. */
export function octetsOf(text: string, where: string): Uint8Array {
  const octets: number[] = [];
  const encoder = new TextEncoder();
  for (const [part] of text.matchAll(/\\x[0-9A-Fa-f]{2}|\\.|[^\\]+|\\$/gsu)) {
    if (!part.startsWith("\\")) octets.push(...encoder.encode(part));
    else if (part.startsWith("\\x") && part.length === 4) octets.push(parseInt(part.slice(2), 16));
    else octets.push(escaped(part, where));
  }
  return Uint8Array.from(octets);
}

function escaped(part: string, where: string): number {
  switch (part) {
    case "\\r":
      return 0x0d;
    case "\\n":
      return 0x0a;
    case "\\t":
      return 0x09;
    case "\\0":
      return 0x00;
    case "\\.":
      return 0x2e;
    case "\\\\":
      return 0x5c;
    default:
      throw new Error(`${where}: Unknown escape: ${part}`);
  }
}
