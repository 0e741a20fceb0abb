/**
 * The receiving end: a folder of Maildirs that somebody delivers into, read by the Message-ID of what arrives.
 * @module
 */
import type { Buffer } from "node:buffer";
import * as fs from "node:fs";
import * as path from "node:path";
import { fromUnixLines, idOf } from "./messages.ts";
import { eventually } from "./programs.ts";

/** All Maildirs under a folder. */
export class Inbox {
  readonly #root: string;
  readonly #unixLines: boolean;
  readonly #seen = new Set<string>();
  readonly #files = new Map<string, string[]>();

  /** `unixLines`: who delivers here keeps lines with LF, as mailboxes of Unix do. */
  constructor(root: string, unixLines: boolean) {
    this.#root = root;
    this.#unixLines = unixLines;
  }

  /** What was delivered under this id: at least one message, each as it lies there, with CRLF. */
  async wait(id: string, describe: () => string): Promise<Buffer[]> {
    return await eventually(() => {
      this.#look(this.#root, 3);
      const files = this.#files.get(id);
      return files?.map((file) => this.#read(file));
    }, () => `the delivery of ${id} in ${this.#root}\n${describe()}`);
  }

  #read(file: string): Buffer {
    const content = fs.readFileSync(file);
    return this.#unixLines ? fromUnixLines(content) : content;
  }

  #look(folder: string, depth: number): void {
    if (depth === 0 || !fs.existsSync(folder)) return;
    for (const entry of fs.readdirSync(folder, { withFileTypes: true })) {
      if (!entry.isDirectory()) continue;
      const place = path.join(folder, entry.name);
      if (entry.name !== "new") {
        if (entry.name !== "tmp" && entry.name !== "cur") this.#look(place, depth - 1);
        continue;
      }
      for (const file of fs.readdirSync(place)) this.#take(path.join(place, file));
    }
  }

  #take(file: string): void {
    if (this.#seen.has(file)) return;
    this.#seen.add(file);
    const id = idOf(fs.readFileSync(file));
    if (id !== undefined) this.#files.set(id, [...this.#files.get(id) ?? [], file]);
  }
}
