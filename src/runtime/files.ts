/**
 * Files, for the rooms that may not touch them: read, write whole, watch.
 *
 * A file is watched by its folder: on both runtimes a watch of the file itself goes deaf when an editor or a deploy
 * replaces it by rename. Whether it changed is told by its own state, so a swapped symbolic link counts as well.
 * @module
 */
import { randomUUID } from "node:crypto";
import fs from "node:fs";
import { chmod, mkdir, mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { errorCode } from "./node_errors.ts";

/** The text of a file; fails with the runtime's error. */
export function readText(path: string): Promise<string> {
  return readFile(path, "utf8");
}

/** The text of a file, or undefined where there is none. */
export async function readTextIfExists(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (errorCode(error) === "ENOENT") return undefined;
    throw error;
  }
}

/** Replaces a file whole: a reader sees the old text or the new, never a part. */
export async function writeText(path: string, text: string, mode = 0o644): Promise<void> {
  const temporary = `${path}.${randomUUID()}`;
  try {
    await writeFile(temporary, text, { mode, flag: "wx" });
    await chmod(temporary, mode);
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

/** Makes an empty file that only its owner can read, where there is none. */
export function createPrivate(path: string): void {
  fs.closeSync(fs.openSync(path, "a", 0o600));
}

export function exists(path: string): boolean {
  return fs.existsSync(path);
}

export async function ensureDir(path: string): Promise<void> {
  await mkdir(path, { recursive: true });
}

/** A new folder of one's own, and how to get rid of it. */
export async function tempDir(
  prefix = "postern-",
): Promise<{ readonly path: string; remove(): Promise<void> }> {
  const path = await mkdtemp(join(tmpdir(), prefix));
  return { path, remove: () => rm(path, { recursive: true, force: true }) };
}

/** Changes in a folder that put off the look at a file in it. */
const MOST_DELAYS = 10;

/**
 * Tells when a file has changed, been replaced, come or gone; changes within `quiet` milliseconds are told once. The
 * watch does not keep the process alive. Returns how to stop it.
 */
export function watchFile(path: string, changed: () => void, quiet = 100): () => void {
  let state = stateOf(path);
  let timer: ReturnType<typeof setTimeout> | undefined;
  let delays = 0;
  const look = (): void => {
    timer = undefined;
    delays = 0;
    const found = stateOf(path);
    if (found === state) return;
    state = found;
    changed();
  };
  const watcher = fs.watch(dirname(path), { persistent: false }, () => {
    // Neighbours that never rest, such as a database, put it off only so often.
    if (timer !== undefined && delays >= MOST_DELAYS) return;
    delays++;
    clearTimeout(timer);
    timer = setTimeout(look, quiet);
    timer.unref();
  });
  // A folder that goes away ends the watch; the file is then gone as well, and a reload would say so.
  watcher.on("error", () => watcher.close());
  return () => {
    clearTimeout(timer);
    watcher.close();
  };
}

/** What cannot be looked at (a circle of links, a folder without the right to enter) is not there. */
function stateOf(path: string): string {
  try {
    const { ino, size, mtimeMs } = fs.statSync(path);
    return `${ino}:${size}:${mtimeMs}`;
  } catch {
    return "";
  }
}
