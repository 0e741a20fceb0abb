/**
 * The folder of the demo: a configuration that `postern serve` takes as well, a user, mailboxes, a log.
 *
 * Never: touches a configuration that the demo did not write.
 * @module
 */
import { randomBytes } from "node:crypto";
import { appendFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import * as path from "node:path";
import { passwords } from "../../pipeline/passwords.ts";
import { tempDir } from "../../runtime/files.ts";
import { systemReason } from "../../runtime/system_reason.ts";
import { CliError, EXIT } from "../errors.ts";
import { readText, replaceFile } from "../files.ts";
import type { CliIo } from "../io.ts";
import { setUser } from "../user/file.ts";

/** The names of the demo's little world: example domains that belong to nobody (RFC 2606). */
export const WORLD = {
  hostname: "mx.example.org",
  domain: "example.org",
  user: "alice",
  alice: "alice@example.org",
  carol: "carol@example.com",
  stranger: "winner@example.net",
} as const;

/** The demo's folder, ready for the start. */
export interface DemoFolder {
  readonly path: string;
  /** Goes away at the end. */
  readonly temporary: boolean;
  readonly config: string;
  readonly log: string;
  /** Of the one user. */
  readonly password: string;
  /** Writes the configuration. Port 0: any. */
  configure(ports: Ports): Promise<void>;
  /** Takes lines of the log. */
  writeLog(text: string): void;
  /** Removes the folder where it is temporary. */
  remove(): Promise<void>;
}

/** Where the two listeners listen. */
export interface Ports {
  readonly mx: number;
  readonly submission: number;
}

/** By this first line the demo knows its own file. */
const MARK = '# Written by "postern demo".';

/** Makes the folder, or takes the one that is named, with a new password for the user. */
export async function makeDemoFolder(dir: string | undefined, io: CliIo): Promise<DemoFolder> {
  const folder = dir === undefined ? await tempDir("postern-demo-") : await namedFolder(dir, io);
  const inside = (name: string): string => path.join(folder.path, name);
  const password = randomBytes(8).toString("hex");
  const users = inside("users.txt");
  const { text } = setUser(
    await readText(users) ?? "",
    WORLD.user,
    await passwords.hash(password),
  );
  await replaceFile(users, text, 0o600);
  const log = inside("postern.log");
  return {
    path: folder.path,
    temporary: dir === undefined,
    config: inside("postern.toml"),
    log,
    password,
    configure: (ports) => replaceFile(inside("postern.toml"), demoConfig(ports), 0o640),
    writeLog: (lines) => appendFileSync(log, lines, { mode: 0o640 }),
    remove: folder.remove,
  };
}

async function namedFolder(
  dir: string,
  io: CliIo,
): Promise<{ readonly path: string; remove(): Promise<void> }> {
  const folder = path.resolve(io.cwd, dir);
  let config: string | undefined;
  try {
    await mkdir(folder, { recursive: true });
    config = await readText(path.join(folder, "postern.toml"));
  } catch (error) {
    const exists = error instanceof Error && "code" in error && error.code === "EEXIST";
    const why = exists ? "it is a file" : systemReason(error);
    if (why === undefined) throw error;
    throw new CliError(`Cannot use the folder ${dir}: ${why}`, EXIT.usage);
  }
  if (config !== undefined && !config.startsWith(MARK)) {
    throw new CliError(
      `Cannot use the folder ${dir}: its postern.toml is not the demo's; name another folder`,
      EXIT.usage,
    );
  }
  return { path: folder, remove: () => Promise.resolve() };
}

function demoConfig({ mx, submission }: Ports): string {
  return `${MARK} It works without the demo too: postern serve -c postern.toml

hostname = "${WORLD.hostname}"
data_dir = "data"                       # the generated certificate

[[listeners]]                           # mail from other servers
name = "mx"
listen = "127.0.0.1:${mx}"
tls = "starttls"

[[listeners]]                           # mail from our own people
name = "submission"
listen = "127.0.0.1:${submission}"
tls = "starttls"
require_tls = true
auth = "required"

[upstreams.mailbox]
servers = ["maildir:./mail"]

[upstreams.world]                       # stands for everybody else: nothing leaves this machine
servers = ["maildir:./world"]

[[routes]]
to = ["${WORLD.domain}"]
upstream = "mailbox"

[[routes]]                              # elsewhere only after a login: no open relay
authenticated = true
upstream = "world"

[trace]
history = "all"

[[plugins]]
use = "received"

[[plugins]]
use = "auth-file"
listeners = ["submission"]
options = { users = "users.txt" }

[[plugins]]
use = "rate-limit"
listeners = ["mx"]
options = { rules = [{ name = "hourly", by = "address", count = "messages", limit = 100, window = "1h" }] }

[[plugins]]
use = "spam-score"
listeners = ["mx"]
options = { tag_at = 5.0, refuse_at = 15.0 }

[[plugins]]
use = "header-rewrite"
options = { add = [{ name = "X-Edge", value = "postern-demo" }] }

[timeouts]
drain = "5s"
`;
}
