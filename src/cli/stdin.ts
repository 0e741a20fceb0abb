/**
 * Reads standard input by lines, whole, or without echo.
 *
 * Listens only while somebody waits, so that a program that has read what it wanted can end. What came behind a line
 * stays for the next read.
 * @module
 */
import { Buffer } from "node:buffer";
import type { CliInput } from "./io.ts";

/** The part of `process.stdin` that is used. */
export interface InputStream {
  on(event: "data", listener: (chunk: Uint8Array | string) => void): unknown;
  on(event: "end" | "close", listener: () => void): unknown;
  on(event: "error", listener: (error: Error) => void): unknown;
  // deno-lint-ignore no-explicit-any
  off(event: string, listener: (...args: any[]) => void): unknown;
  pause(): unknown;
  resume(): unknown;
  setRawMode?(raw: boolean): unknown;
}

const LINE_FEED = 0x0a;
/** A line longer than this is no line that a person or a script meant. */
const LINE_LIMIT = 65_536;

/** Keys of a terminal in raw mode. */
const KEY = {
  interrupt: "\x03",
  end: "\x04",
  backspace: "\b",
  enter: "\r",
  newline: "\n",
  kill: "\x15",
  escape: "\x1b",
  delete: "\x7f",
} as const;

/** Reads what `open` gives, which is called with the first read. */
export function createInput(open: () => InputStream): CliInput {
  let stream: InputStream | undefined;
  let kept: Uint8Array = new Uint8Array(0);
  let ended = false;
  let failure: Error | undefined;
  /** Tells who waits that the input has ended or failed. */
  let wake = () => {};

  function opened(): InputStream {
    if (stream !== undefined) return stream;
    // These stay: the end may come together with the last octets, when nobody waits any more.
    const end = () => {
      ended = true;
      wake();
    };
    stream = open();
    stream.on("end", end);
    stream.on("close", end);
    stream.on("error", (error) => {
      failure = error;
      end();
    });
    return stream;
  }

  /** Adds what comes to `kept` until `enough` says so or the input ends. */
  async function fill(enough: () => boolean): Promise<void> {
    const source = opened();
    if (!ended && !enough()) {
      const chunks: Uint8Array[] = [];
      const join = () => {
        kept = Buffer.concat([kept, ...chunks.splice(0)]);
      };
      await new Promise<void>((resolve) => {
        const onData = (chunk: Uint8Array | string) => {
          chunks.push(typeof chunk === "string" ? Buffer.from(chunk) : chunk);
          if (enough === never) return;
          join();
          if (enough()) wake();
        };
        wake = () => {
          source.off("data", onData);
          source.pause();
          resolve();
        };
        source.on("data", onData);
        source.resume();
      });
      wake = () => {};
      join();
    }
    if (failure !== undefined) throw failure;
  }

  async function readLine(): Promise<string | undefined> {
    await fill(() => kept.includes(LINE_FEED) || kept.length > LINE_LIMIT);
    if (kept.length === 0) return undefined;
    const at = kept.indexOf(LINE_FEED);
    const octets = at === -1 ? kept : kept.subarray(0, at);
    if (octets.length > LINE_LIMIT) throw new RangeError("Line of standard input is too long");
    const line = decode(octets);
    kept = at === -1 ? new Uint8Array(0) : kept.subarray(at + 1);
    return line.endsWith("\r") ? line.slice(0, -1) : line;
  }

  async function readAll(): Promise<Uint8Array> {
    await fill(never);
    const all = kept;
    kept = new Uint8Array(0);
    return all;
  }

  async function readSecret(): Promise<string | undefined> {
    opened().setRawMode?.(true);
    try {
      let typed: string[] = [];
      for (;;) {
        await fill(() => kept.length > 0);
        if (kept.length === 0) return undefined;
        const { keys, used } = takeKeys(kept);
        kept = kept.subarray(used);
        for (const [index, key] of keys.entries()) {
          if (key === KEY.enter || key === KEY.newline) {
            kept = Buffer.concat([Buffer.from(keys.slice(index + 1).join("")), kept]);
            return typed.join("");
          }
          if (key === KEY.interrupt) return undefined;
          if (key === KEY.end) {
            if (typed.length === 0) return undefined;
          } else if (key === KEY.backspace || key === KEY.delete) {
            typed.pop();
          } else if (key === KEY.kill) {
            typed = [];
          } else if (!key.startsWith(KEY.escape)) {
            typed.push(key);
          }
        }
        if (used > 0) continue;
        // A character cut in two by the terminal: wait for its other octets.
        if (ended) return undefined;
        const unfinished = kept.length;
        await fill(() => kept.length > unfinished);
      }
    } finally {
      opened().setRawMode?.(false);
    }
  }

  return { readLine, readAll, readSecret };
}

const never = () => false;

function decode(octets: Uint8Array): string {
  return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(octets);
}

/** The whole characters and escape sequences at the start of `octets`. An unfinished character stays behind. */
function takeKeys(octets: Uint8Array): { readonly keys: readonly string[]; readonly used: number } {
  const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(octets, { stream: true });
  const keys = text.match(/\x1b(?:\[[0-?]*[ -/]*[@-~]|O.)?|[^\x1b]/gsu) ?? [];
  return { keys, used: Buffer.byteLength(text) };
}
