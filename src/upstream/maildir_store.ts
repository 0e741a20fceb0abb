/**
 * Folders of the embedded mailbox: `<path>/<recipient>/{tmp,new,cur}`.
 *
 * Owns: making folders, publishing a finished file into `new/`, taking it back, removing leftovers, the listing.
 * Never: reports success before the file's names are on the disk (fsync of every directory that changed).
 * Source: https://cr.yp.to/proto/maildir.html; RFC 5321 section 6.1 for what an acknowledgement means.
 * @module
 */
import { promises as fs } from "node:fs";
import { dirname, join } from "node:path";
import { type Names, recipientOf } from "./maildir_names.ts";

/** A leftover in `tmp/` is nobody's any more after this time (the Maildir rule). */
const leftoverAge = 36 * 60 * 60 * 1000;

/** Folders whose own directory entries are known to be on the disk; a bound, not a tuning. */
const maxKnownFolders = 10_000;

/** The error code of a system call, `""` where there is none. */
export function codeOf(cause: unknown): string {
  return cause instanceof Error && "code" in cause && typeof cause.code === "string"
    ? cause.code
    : "";
}

async function syncFolder(path: string): Promise<void> {
  const handle = await fs.open(path, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Makes a folder and the ones above it, and puts their directory entries on the disk. */
async function makeFolder(path: string): Promise<void> {
  const first = await fs.mkdir(path, { recursive: true, mode: 0o700 });
  await syncFolder(path);
  const top = dirname(first ?? path);
  for (let folder = path; folder !== top;) {
    folder = dirname(folder);
    try {
      await syncFolder(folder);
    } catch (cause) {
      // A folder that stood already is synced only because another process may have just made it; above it may be
      // one that we can enter but not read.
      if (first !== undefined || codeOf(cause) !== "EACCES") throw cause;
    }
  }
}

/** Makes one folder, or finds it. The caller syncs the one above. */
async function addFolder(path: string): Promise<void> {
  try {
    await fs.mkdir(path, { mode: 0o700 });
  } catch (cause) {
    if (codeOf(cause) !== "EEXIST") throw cause;
  }
}

/** What became of `publish`. */
export type Published =
  | { readonly ok: true }
  /** `undone`: nothing of the message is left in any `new/`. */
  | { readonly ok: false; readonly cause: unknown; readonly undone: boolean };

/** The folders under one path. */
export class MaildirStore {
  readonly path: string;
  readonly #names: Names;
  readonly #known = new Map<string, Promise<void>>();
  #root: Promise<void> | undefined;

  constructor(path: string, names: Names) {
    this.path = path;
    this.#names = names;
  }

  /** Makes the path itself, durably; free once it is known. */
  root(): Promise<void> {
    if (this.#root === undefined) {
      this.#root = makeFolder(this.path);
      this.#root.catch(() => this.#root = undefined);
    }
    return this.#root;
  }

  /** Makes the folders of a recipient, durably. The first time in the life of the process; after that it is free. */
  ready(folder: string): Promise<void> {
    let ready = this.#known.get(folder);
    if (ready === undefined) {
      if (this.#known.size >= maxKnownFolders) this.#known.clear();
      ready = this.#make(folder);
      this.#known.set(folder, ready);
      ready.catch(() => this.forget(folder));
    }
    return ready;
  }

  /** Called when a folder may be gone: the next `ready` looks again. */
  forget(folder: string): void {
    this.#root = undefined;
    this.#known.delete(folder);
  }

  async #make(folder: string): Promise<void> {
    await this.root();
    const mailbox = join(this.path, folder);
    for (
      const part of [mailbox, join(mailbox, "tmp"), join(mailbox, "new"), join(mailbox, "cur")]
    ) {
      await addFolder(part);
    }
    await syncFolder(mailbox);
    await syncFolder(this.path);
  }

  /** A path for a new file in a folder's `tmp/`. */
  temporary(folder: string): string {
    return join(this.path, folder, "tmp", this.#names.next());
  }

  /**
   * Gives a finished, synced file its names in the `new/` of every folder, then syncs those directories. The file in
   * `tmp/` stays. If any step fails, the names given so far are taken back.
   */
  async publish(file: string, name: string, folders: readonly string[]): Promise<Published> {
    const given: string[] = [];
    try {
      for (const folder of folders) {
        const target = join(this.path, folder, "new", name);
        try {
          await fs.link(file, target);
        } catch (cause) {
          if (!cannotLink(cause)) throw cause;
          await this.#copy(file, folder, target);
        }
        given.push(target);
      }
      for (const folder of folders) await syncFolder(join(this.path, folder, "new"));
      return { ok: true };
    } catch (cause) {
      // A folder is gone: it is made again when the client comes again.
      for (const folder of folders) this.forget(folder);
      let undone = true;
      for (const target of given) {
        // Also when it is gone: then somebody has taken the message, and it is delivered.
        await fs.unlink(target).catch(() => {
          undone = false;
        });
      }
      return { ok: false, cause, undone };
    }
  }

  /** Where a link cannot be made (another file system, or one without links): a copy that is synced before it is seen. */
  async #copy(file: string, folder: string, target: string): Promise<void> {
    const copy = this.temporary(folder);
    try {
      await fs.copyFile(file, copy);
      const handle = await fs.open(copy, "r+");
      try {
        await handle.sync();
      } finally {
        await handle.close();
      }
      await fs.rename(copy, target);
    } catch (cause) {
      await fs.unlink(copy).catch(() => {});
      throw cause;
    }
  }

  /** Proves that files can be made and put on the disk under the path. Throws what the disk said. */
  async probe(): Promise<void> {
    this.#root = undefined;
    await this.root();
    // No folder of a recipient begins with a dot.
    const file = join(this.path, `.postern-${this.#names.next()}`);
    const handle = await fs.open(file, "wx", 0o600);
    try {
      await handle.write(new Uint8Array(1));
      await handle.sync();
    } finally {
      await handle.close();
      await fs.unlink(file);
    }
    await syncFolder(this.path);
  }

  /** Removes what earlier processes of this host left in `tmp/` more than 36 hours ago; the number of files. Never throws. */
  async sweep(now: number): Promise<number> {
    let removed = 0;
    for (const folder of await entries(this.path)) {
      if (recipientOf(folder) === undefined) continue;
      const tmp = join(this.path, folder, "tmp");
      for (const name of await entries(tmp)) {
        if (!this.#names.isOwn(name)) continue;
        const file = join(tmp, name);
        try {
          if (now - (await fs.stat(file)).mtimeMs <= leftoverAge) continue;
          await fs.unlink(file);
          removed++;
        } catch {
          // Gone or not ours to remove: a leftover harms nobody.
        }
      }
    }
    return removed;
  }
}

/** Errors of link(2) that say "not here", not "not now". */
function cannotLink(cause: unknown): boolean {
  switch (codeOf(cause)) {
    case "EXDEV":
    case "EPERM":
    case "EMLINK":
    case "ENOTSUP":
    case "EOPNOTSUPP":
    case "ENOSYS":
      return true;
    default:
      return false;
  }
}

/** The names in a directory, sorted; none where it cannot be read. */
async function entries(path: string): Promise<string[]> {
  try {
    return (await fs.readdir(path)).sort();
  } catch {
    return [];
  }
}

/** One delivered message. */
export interface StoredMessage {
  /** `local@domain`, the local part unquoted. */
  readonly recipient: string;
  /** Path of the file. */
  readonly file: string;
  /** Octets of the file, its `Return-Path` line included. */
  readonly size: number;
}

/** What has been delivered under a path, by recipient, then by name: `cur/` and `new/`, never `tmp/`. */
export async function listMaildir(path: string): Promise<StoredMessage[]> {
  const messages: StoredMessage[] = [];
  for (const folder of await entries(path)) {
    const recipient = recipientOf(folder);
    if (recipient === undefined) continue;
    for (const place of ["cur", "new"]) {
      for (const name of await entries(join(path, folder, place))) {
        const file = join(path, folder, place, name);
        try {
          messages.push({ recipient, file, size: (await fs.stat(file)).size });
        } catch {
          // A reader has moved it between the two calls; the next listing has it.
        }
      }
    }
  }
  return messages;
}
