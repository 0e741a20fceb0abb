/**
 * Files that commands write: whole or not at all.
 * @module
 */
import { randomBytes } from "node:crypto";
import * as fs from "node:fs/promises";
import * as path from "node:path";

/** The text of a file; undefined when there is none. Octets that are not UTF-8 are an error. */
export async function readText(file: string): Promise<string | undefined> {
  const octets = await readOctets(file);
  return octets === undefined
    ? undefined
    : new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(octets);
}

/** The octets of a file; undefined when there is none. */
export async function readOctets(file: string): Promise<Uint8Array | undefined> {
  try {
    return await fs.readFile(file);
  } catch (error) {
    if (isCode(error, "ENOENT")) return undefined;
    // A folder can be opened, and what fails then does not know its name.
    if (error instanceof Error && !("path" in error)) Object.assign(error, { path: file });
    throw error;
  }
}

/**
 * Puts `text` into `file` by a temporary file beside it and a rename: a reader sees the old or the new, also after a
 * crash. A link is followed and an existing owner is kept. `mode` is for a new file and for one that others may read;
 * an existing mode that gives nothing to others is somebody's choice and stays.
 */
export async function replaceFile(file: string, text: string, mode: number): Promise<void> {
  const old = await existing(file);
  const target = old?.target ?? file;
  const temporary = path.join(
    path.dirname(target),
    `.${path.basename(target)}.${randomBytes(6).toString("hex")}.tmp`,
  );
  const kept = old !== undefined && (old.mode & 0o007) === 0 ? old.mode & 0o770 : mode;
  const handle = await fs.open(temporary, "wx", 0o600).catch((error) => {
    // It is the folder that is not there, or may not be written to.
    throw Object.assign(error, { path: path.dirname(target) });
  });
  try {
    try {
      await handle.writeFile(text);
      if (old !== undefined) await handle.chown(old.uid, old.gid).catch(ignoreNotPermitted);
      await handle.chmod(kept);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await fs.rename(temporary, target);
  } catch (error) {
    await fs.rm(temporary, { force: true });
    throw error;
  }
}

/** Writes a file that must not be there yet. */
export async function createFile(file: string, text: string, mode: number): Promise<void> {
  await fs.writeFile(file, text, { flag: "wx", mode });
}

/** True where `file` is a folder. */
export async function isFolder(file: string): Promise<boolean> {
  try {
    return (await fs.stat(file)).isDirectory();
  } catch (error) {
    if (isCode(error, "ENOENT")) return false;
    throw error;
  }
}

async function existing(file: string) {
  try {
    const target = await fs.realpath(file);
    const { uid, gid, mode } = await fs.stat(target);
    return { target, uid, gid, mode };
  } catch (error) {
    if (isCode(error, "ENOENT")) return undefined;
    throw error;
  }
}

function ignoreNotPermitted(error: unknown): void {
  if (!isCode(error, "EPERM")) throw error;
}

function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}
