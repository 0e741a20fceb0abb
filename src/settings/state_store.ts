/**
 * Where the shared state lives, as the configuration writes it: `memory`, `sqlite`, `sqlite:PATH`.
 *
 * A store over a network is to be one more form with a scheme of its own. Never: touches a file.
 * @module
 */
import { absolutePath } from "./address.ts";

/** Where counters, buckets and locks are kept. */
export type StateStore =
  | { readonly kind: "memory" }
  /** An absolute path. */
  | { readonly kind: "sqlite"; readonly path: string };

/** The name of the file where none is given; it lies in `data_dir`. */
const STANDARD_FILE = "state.db";

/** The store that a text names; undefined where it names none. A relative path is relative to `dataDir`. */
export function parseStateStore(text: string, dataDir: string): StateStore | undefined {
  if (text === "memory") return { kind: "memory" };
  const path = text === "sqlite"
    ? STANDARD_FILE
    : text.startsWith("sqlite:")
    ? text.slice("sqlite:".length)
    : "";
  // A double slash would be a host of another scheme, and SQLite's own special names are no files.
  if (path === "" || path.startsWith("//") || path.startsWith(":") || path.includes("\0")) {
    return undefined;
  }
  return { kind: "sqlite", path: absolutePath(dataDir, path) };
}
