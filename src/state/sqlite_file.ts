/**
 * The SQLite file of the shared state: made, checked, opened, its statements prepared.
 *
 * Owns: the schema, and the words for a file that cannot be used.   Never: repairs one, or touches one of another program.
 * @module
 */
import { DatabaseSync, type StatementSync } from "node:sqlite";

/** Why the state cannot be used: the action, the file, the reason. */
export class StateFault extends Error {
  override readonly name = "StateFault";
}

/** "POST": the file is ours. */
const APPLICATION = 0x504f5354;
const VERSION = 1;
/** Milliseconds that opening waits: another process may be making the tables at this moment. */
const OPEN_WAIT = 5_000;

/** The file, open, with its statements. */
export interface OpenFile {
  readonly db: DatabaseSync;
  readonly begin: StatementSync;
  readonly commit: StatementSync;
  readonly rollback: StatementSync;
  readonly select: StatementSync;
  readonly upsert: StatementSync;
  readonly deleteKey: StatementSync;
  readonly deleteExpired: StatementSync;
  readonly deleteNearest: StatementSync;
  readonly pages: StatementSync;
  readonly freePages: StatementSync;
  readonly pageSize: number;
}

/** Opens the file, making it where it is missing, and looks whether it is sound. Throws {@linkcode StateFault}. */
export function openFile(path: string, busyMs: number, mostBytes: number): OpenFile {
  let db: DatabaseSync | undefined;
  try {
    db = new DatabaseSync(path);
    db.exec(`PRAGMA busy_timeout = ${OPEN_WAIT}`);
    db.exec("PRAGMA journal_mode = WAL");
    db.exec("PRAGMA synchronous = NORMAL");
    makeTables(db, path);
    const sound = Object.values(db.prepare("PRAGMA quick_check(1)").get() ?? {})[0];
    if (sound !== "ok") throw new StateFault(damaged(path, String(sound)));
    db.exec(`PRAGMA busy_timeout = ${busyMs}`);
    const pageSize = numberOf(db.prepare("PRAGMA page_size"));
    db.exec(`PRAGMA max_page_count = ${Math.ceil(mostBytes / pageSize)}`);
    return {
      db,
      begin: db.prepare("BEGIN IMMEDIATE"),
      commit: db.prepare("COMMIT"),
      rollback: db.prepare("ROLLBACK"),
      select: db.prepare("SELECT data, expires FROM state WHERE key = ? AND kind = ?"),
      upsert: db.prepare(
        "INSERT INTO state (key, kind, data, expires) VALUES (?, ?, ?, ?) " +
          "ON CONFLICT (key, kind) DO UPDATE SET data = excluded.data, expires = excluded.expires",
      ),
      deleteKey: db.prepare("DELETE FROM state WHERE key = ?"),
      deleteExpired: db.prepare(
        "DELETE FROM state WHERE (key, kind) IN " +
          "(SELECT key, kind FROM state WHERE expires <= ? ORDER BY expires LIMIT ?)",
      ),
      deleteNearest: db.prepare(
        "DELETE FROM state WHERE (key, kind) IN " +
          "(SELECT key, kind FROM state ORDER BY expires LIMIT ?)",
      ),
      pages: db.prepare("PRAGMA page_count"),
      freePages: db.prepare("PRAGMA freelist_count"),
      pageSize,
    };
  } catch (cause) {
    db?.close();
    if (cause instanceof StateFault) throw cause;
    const reason = reasonOf(cause);
    throw new StateFault(
      /not a database|malformed/.test(reason)
        ? damaged(path, reason)
        : `Cannot open state: ${path}: ${reason}`,
      { cause },
    );
  }
}

function damaged(path: string, reason: string): string {
  return `Cannot open state: ${path} is damaged or no state file (${reason}); ` +
    "move it away, and limits and counters begin anew";
}

/** Makes the tables of a new file; refuses a file of another program and one of a later version. */
function makeTables(db: DatabaseSync, path: string): void {
  const application = numberOf(db.prepare("PRAGMA application_id"));
  const tables = () => numberOf(db.prepare("SELECT count(*) FROM sqlite_master"));
  if (application !== APPLICATION && (application !== 0 || tables() > 0)) {
    throw new StateFault(`Cannot open state: ${path} is the database of another program`);
  }
  if (numberOf(db.prepare("PRAGMA user_version")) > VERSION) {
    throw new StateFault(`Cannot open state: ${path} was written by a later version of Postern`);
  }
  if (tables() > 0) return;
  db.exec("BEGIN IMMEDIATE");
  try {
    // Another process may have been first.
    if (tables() === 0) {
      db.exec(
        "CREATE TABLE state (key TEXT NOT NULL, kind INTEGER NOT NULL, data TEXT NOT NULL, " +
          "expires REAL NOT NULL, PRIMARY KEY (key, kind)) WITHOUT ROWID",
      );
      db.exec("CREATE INDEX state_expires ON state (expires)");
      db.exec(`PRAGMA application_id = ${APPLICATION}`);
      db.exec(`PRAGMA user_version = ${VERSION}`);
    }
    db.exec("COMMIT");
  } catch (cause) {
    try {
      db.exec("ROLLBACK");
    } catch {
      // The transaction has ended with what broke it.
    }
    throw cause;
  }
}

/** The one number that a statement gives. */
export function numberOf(statement: StatementSync): number {
  return Number(Object.values(statement.get() ?? {})[0]);
}

/** The text of anything thrown. */
export function reasonOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
