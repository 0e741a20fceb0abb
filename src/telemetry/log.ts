/**
 * The log: one event is one line, human or JSON, escaped, joined and written at most every 50 ms. Credentials and content
 * never come here; text from the network is escaped (R18, R26).
 * @module
 */

/** Severities, mildest first. */
export type Level = "debug" | "info" | "warn" | "error";
/** Fields of an event. */
export type Fields = { readonly [name: string]: string | number | boolean | undefined };

/** Where events go. */
export interface Log {
  readonly level: Level;
  /** Whether events of this level are written: for events whose fields cost something. */
  takes(level: Level): boolean;
  event(level: Level, message: string, fields?: Fields): void;
  /** Writes what has been joined so far. */
  flush(): void;
}

/** What a log is made from. */
export interface LogOptions {
  readonly level: Level;
  readonly format: "human" | "json";
  readonly now: () => number;
  /** Takes whole lines. */
  readonly write: (text: string) => void;
  /** Runs a function in 50 ms; must not keep the process alive. */
  readonly later: (run: () => void) => void;
}

const order: Record<Level, number> = { debug: 0, info: 1, warn: 2, error: 3 };

/** Makes a log. */
export function makeLog(options: LogOptions): Log {
  const least = order[options.level];
  let joined = "";
  const flush = (): void => {
    if (joined === "") return;
    const text = joined;
    joined = "";
    options.write(text);
  };
  return {
    level: options.level,
    takes: (level) => order[level] >= least,
    flush,
    event(level, message, fields) {
      if (order[level] < least) return;
      if (joined === "") options.later(flush);
      joined += options.format === "json"
        ? jsonLine(options.now(), level, message, fields)
        : humanLine(options.now(), level, message, fields);
      if (level === "error" || joined.length > 65_536) flush();
    },
  };
}

function humanLine(now: number, level: Level, message: string, fields: Fields = {}): string {
  let line = `${new Date(now).toISOString()} ${level.padEnd(5)} ${escape(message)}`;
  for (const [name, value] of Object.entries(fields)) {
    if (value === undefined) continue;
    const text = escape(String(value));
    line += ` ${name}=${/[\s"=]|^$/.test(text) ? JSON.stringify(text) : text}`;
  }
  return `${line}\n`;
}

function jsonLine(now: number, level: Level, message: string, fields: Fields = {}): string {
  return `${
    JSON.stringify({ time: new Date(now).toISOString(), level, message, ...fields })
      // JSON leaves DEL, C1 controls and the line separators alone; a terminal does not.
      .replace(unprintable, unicodeEscape)
  }\n`;
}

/** Controls, line separators, and what turns the direction of the text around it. */
const unprintable = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

function escape(text: string): string {
  return text.replace(unprintable, unicodeEscape);
}

function unicodeEscape(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}
