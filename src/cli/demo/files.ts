/**
 * Finds the files that hold a delivered message, by the transaction's id in its `Received` field.
 * @module
 */
import { open, readdir } from "node:fs/promises";
import * as path from "node:path";
import type { TransactionRecord } from "../../server/record.ts";
import type { Settings } from "../../settings/settings.ts";
import { folderName } from "../../upstream/maildir_names.ts";

/** The newest files that are looked at; a folder that is kept may hold many old ones. */
const NEWEST = 50;
/** Octets in which our own `Received` field stands. */
const HEAD = 8192;

/** Absolute paths, one for each recipient that has it. */
export async function deliveredFiles(
  { transaction }: TransactionRecord,
  settings: Settings,
): Promise<readonly string[]> {
  const found: string[] = [];
  for (const { servers } of settings.upstreams) {
    const [server] = servers;
    if (server?.kind !== "maildir") continue;
    for (const recipient of transaction.recipients) {
      const folder = path.join(
        server.path,
        await folderName(recipient, settings.hostname),
        "new",
      );
      const file = await withId(folder, transaction.id);
      if (file !== undefined) found.push(file);
    }
  }
  return found;
}

async function withId(folder: string, id: string): Promise<string | undefined> {
  const names = await readdir(folder).catch(() => []);
  for (const name of names.sort().slice(-NEWEST).reverse()) {
    const file = path.join(folder, name);
    if (new RegExp(`\\sid\\s+${id.replaceAll(".", "\\.")}[;\\s]`).test(await headOf(file))) {
      return file;
    }
  }
  return undefined;
}

async function headOf(file: string): Promise<string> {
  const handle = await open(file, "r").catch(() => undefined);
  if (handle === undefined) return "";
  try {
    const { buffer, bytesRead } = await handle.read(new Uint8Array(HEAD), 0, HEAD, 0);
    return new TextDecoder().decode(buffer.subarray(0, bytesRead));
  } finally {
    await handle.close();
  }
}
