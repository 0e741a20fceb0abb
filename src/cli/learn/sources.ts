/**
 * Where messages to be learned stand: files, mboxes, Maildirs, folders, standard input.
 *
 * Never: holds more than one message and one chunk of an mbox in memory; follows a link to a folder.
 * @module
 */
import { Buffer } from "node:buffer";
import * as fs from "node:fs/promises";
import * as path from "node:path";
import type { CliIo } from "../io.ts";
import { longestMessage } from "./message.ts";

const chunkSize = 1024 * 1024;
const mboxStart = Buffer.from("From ");
const mboxSeam = Buffer.from("\nFrom ");
/** Octets of a `From ` line. */
const longestLine = 512;
const LF = 10;
const CR = 13;
/** Folders inside folders. */
const deepest = 32;

/** The messages of one path of the command line; `-` is standard input. Errors of files are the system's. */
export async function* messagesOf(name: string, io: CliIo): AsyncGenerator<Uint8Array> {
  if (name === "-") {
    yield* messagesIn(one(await io.stdin.readAll()));
    return;
  }
  const file = path.resolve(io.cwd, name);
  for await (const each of filesIn(file, deepest)) yield* messagesIn(chunksOf(each));
}

/** Files of a folder, by name; those of a Maildir are in `new` and `cur`. */
async function* filesIn(file: string, depth: number): AsyncGenerator<string> {
  if (!(await fs.stat(file)).isDirectory()) {
    yield file;
    return;
  }
  const entries = (await fs.readdir(file, { withFileTypes: true }))
    .sort((a, b) => a.name < b.name ? -1 : 1);
  const names = new Set(entries.filter((entry) => entry.isDirectory()).map(({ name }) => name));
  const maildir = names.has("cur") && names.has("new");
  for (const entry of entries) {
    // Hidden files are the folder's own business: indexes, folders inside a Maildir.
    if (entry.name.startsWith(".")) continue;
    const inside = path.join(file, entry.name);
    if (maildir && entry.name !== "cur" && entry.name !== "new") continue;
    if (entry.isDirectory()) {
      if (depth > 0) yield* filesIn(inside, depth - 1);
    } else if (entry.isFile() || entry.isSymbolicLink()) {
      // A link to a folder could lead round in a circle.
      if (entry.isFile() || (await fs.stat(inside)).isFile()) yield inside;
    }
  }
}

async function* chunksOf(file: string): AsyncGenerator<Uint8Array> {
  const handle = await fs.open(file, "r");
  try {
    for (;;) {
      const { bytesRead, buffer } = await handle.read(Buffer.alloc(chunkSize), 0, chunkSize);
      if (bytesRead === 0) return;
      yield buffer.subarray(0, bytesRead);
    }
  } finally {
    await handle.close();
  }
}

async function* one(octets: Uint8Array): AsyncGenerator<Uint8Array> {
  yield await Promise.resolve(octets);
}

/** The messages of a file: one, or as many as an mbox has. Each is cut at what is looked at. */
async function* messagesIn(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let held = Buffer.alloc(0);
  let mbox: boolean | undefined;
  for await (const chunk of chunks) {
    held = Buffer.concat([held, chunk]);
    mbox ??= held.subarray(0, mboxStart.length).equals(mboxStart);
    if (!mbox) {
      if (held.length >= longestMessage) break;
      continue;
    }
    for (let seam = seamOf(held); seam !== undefined; seam = seamOf(held)) {
      yield held.subarray(0, seam);
      held = held.subarray(seam);
    }
    // The rest of a message that is too long is not looked at, but for the seam at its end.
    if (held.length > 2 * longestMessage) {
      held = Buffer.concat([
        held.subarray(0, longestMessage),
        held.subarray(held.length - longestLine),
      ]);
    }
  }
  if (held.length > 0) yield held;
}

/** Where the next message of an mbox begins: behind an empty line, with a whole line of `From`, a sender and a time. */
function seamOf(held: Buffer): number | undefined {
  for (let at = held.indexOf(mboxSeam); at >= 0; at = held.indexOf(mboxSeam, at + 1)) {
    const octet = held[at - 1];
    if (octet !== LF && !(octet === CR && held[at - 2] === LF)) continue;
    const start = at + 1;
    const end = held.indexOf(LF, start);
    const line = held.subarray(start, Math.min(end, start + longestLine)).toString("latin1");
    if (end >= 0 && /^From \S{1,320} .{0,80}[0-9]{2}:[0-9]{2}/.test(line)) return start;
  }
  return undefined;
}
