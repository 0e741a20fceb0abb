/**
 * The history of decisions on disk: `history/transactions.jsonl` and `history/refusals.jsonl` under `data_dir`, one JSON
 * object a line. Two files, so that a flood of refused connections does not wash away what became of the mail.
 *
 * Owns: joining (one write at most every 50 ms), what happens when the disk does not take it.   Never: makes mail wait, or
 * keeps more than a megabyte that has not been written.
 * @module
 */
import { join } from "node:path";
import { LineFile, linesOf } from "../runtime/line_file.ts";
import { later } from "../runtime/timers.ts";
import type { History, HistoryEntry, HistoryReader } from "../telemetry/history.ts";
import type { Settings } from "../settings/settings.ts";
import type { Log } from "../telemetry/log.ts";
import { reasonOf } from "./start_failed.ts";

/** A history that writes. */
export interface HistoryKeeper extends History {
  /** Whether entries of this fate are kept: making one costs something. */
  takes(fate: HistoryEntry["fate"], notable: boolean): boolean;
  /** From here on the disk is written to: as the user that is to own the files. */
  open(): void;
  /** Writes what is left. */
  close(): Promise<void>;
}

/** Stages that end without content. */
const WITHOUT_CONTENT: ReadonlySet<string> = new Set(["connect", "helo", "auth", "mail", "rcpt"]);
/** Characters that may wait for the disk. */
const mostWaiting = 1_048_576;
/** Milliseconds until a disk that failed is tried again. */
const pause = 10_000;
const joinMs = 50;

/** Keeps the history of a proxy; nothing of it where the settings say so. */
export function keepHistory(settings: Settings, log: Log, now: () => number): HistoryKeeper {
  const { history, size } = settings.trace;
  const [transactions, refusals] = filesOf(settings.dataDir);
  const writers = history === "none" ? undefined : {
    transactions: new Writer(new LineFile(transactions, size * 0.75), log, now),
    refusals: new Writer(new LineFile(refusals, size * 0.25), log, now),
  };
  const reader = historyReader(settings.dataDir);
  const flush = async (): Promise<void> => {
    await writers?.transactions.flush();
    await writers?.refusals.flush();
  };
  return {
    async find(prefix) {
      await flush();
      return await reader.find(prefix);
    },
    async recent(count) {
      await flush();
      return await reader.recent(count);
    },
    takes: (fate, notable) =>
      history === "all" || history === "notable" && (notable || fate !== "delivered"),
    append(entry) {
      if (writers === undefined) return;
      // The id comes first: `find` looks for it without parsing.
      const writer = WITHOUT_CONTENT.has(entry.reached) ? writers.refusals : writers.transactions;
      writer.append(`${JSON.stringify(entry)}\n`);
    },
    open() {
      writers?.transactions.open();
      writers?.refusals.open();
    },
    async close() {
      await writers?.transactions.close();
      await writers?.refusals.close();
    },
  };
}

/** Reads what a proxy with this `data_dir` keeps or has kept; it may be running. */
export function historyReader(dataDir: string): HistoryReader {
  const files = filesOf(dataDir);
  return {
    async find(prefix) {
      const start = `{"id":${JSON.stringify(prefix).slice(0, -1)}`;
      const found: HistoryEntry[] = [];
      for (const file of files) {
        for await (const line of linesOf(file)) {
          const entry = line.startsWith(start) ? entryOf(line) : undefined;
          if (entry !== undefined) found.push(entry);
        }
      }
      return found.toSorted((a, b) => a.time - b.time);
    },
    async recent(count) {
      const newest: HistoryEntry[] = [];
      for (const file of files) {
        let last: string[] = [];
        for await (const line of linesOf(file)) {
          last.push(line);
          // Torn lines may be among them.
          if (last.length > 10 * count + 1_000) last = last.slice(-2 * count);
        }
        newest.push(...last.slice(-2 * count).map(entryOf).filter((e) => e !== undefined));
      }
      return newest.toSorted((a, b) => b.time - a.time).slice(0, count);
    },
  };
}

function filesOf(dataDir: string): readonly [transactions: string, refusals: string] {
  const folder = join(dataDir, "history");
  return [join(folder, "transactions.jsonl"), join(folder, "refusals.jsonl")];
}

/** Undefined for a line that was cut short. */
function entryOf(line: string): HistoryEntry | undefined {
  try {
    const entry = JSON.parse(line) as HistoryEntry;
    return typeof entry.id === "string" && Array.isArray(entry.decisions) ? entry : undefined;
  } catch {
    return undefined;
  }
}

/** Joins lines for one file, and writes them one write after the other. */
class Writer {
  readonly #file: LineFile;
  readonly #log: Log;
  readonly #now: () => number;
  #joined = "";
  #opened = false;
  #scheduled = false;
  #writing: Promise<void> | undefined;
  /** Entries that were not kept. */
  #lost = 0;
  #failed = false;
  #retryAt = 0;

  constructor(file: LineFile, log: Log, now: () => number) {
    this.#file = file;
    this.#log = log;
    this.#now = now;
  }

  append(line: string): void {
    if (this.#joined.length + line.length > mostWaiting) {
      this.#lost++;
      return;
    }
    this.#joined += line;
    this.#schedule();
  }

  open(): void {
    this.#opened = true;
    this.#schedule();
  }

  /** Writes what is joined, unless the disk has just failed. */
  async flush(): Promise<void> {
    while (this.#writing !== undefined) await this.#writing;
    if (this.#opened) await this.#begin();
  }

  async close(): Promise<void> {
    this.#retryAt = 0;
    await this.flush();
    // What a session that is cut off still tells must not open the file again: nobody would close it.
    this.#opened = false;
    await this.#file.close();
  }

  #schedule(): void {
    if (!this.#opened || this.#scheduled || this.#joined === "") return;
    this.#scheduled = true;
    later(joinMs, () => {
      this.#scheduled = false;
      if (this.#opened && this.#writing === undefined) void this.#begin();
    });
  }

  #begin(): Promise<void> {
    return this.#writing = this.#write().finally(() => {
      this.#writing = undefined;
      this.#schedule();
    });
  }

  /** Never rejects. */
  async #write(): Promise<void> {
    const lines = this.#joined;
    if (lines === "") return;
    this.#joined = "";
    if (this.#now() < this.#retryAt) {
      this.#lost += count(lines);
      return;
    }
    try {
      await this.#file.append(lines);
      if (this.#failed) {
        this.#log.event("info", "history is written again", {
          file: this.#file.path,
          left_out: this.#lost,
        });
      }
      this.#failed = false;
      this.#lost = 0;
    } catch (cause) {
      this.#lost += count(lines);
      this.#retryAt = this.#now() + pause;
      if (this.#failed) return;
      this.#failed = true;
      this.#log.event("warn", "history cannot be written, mail goes on without it", {
        file: this.#file.path,
        cause: reasonOf(cause),
      });
    }
  }
}

function count(lines: string): number {
  return lines.split("\n").length - 1;
}
