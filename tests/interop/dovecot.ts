/**
 * A private Dovecot, of which only the auth service is used.
 * @module
 */
import * as fs from "node:fs";
import * as path from "node:path";
import process from "node:process";
import { eventually, findProgram, Service } from "./programs.ts";

/** Why there can be no private Dovecot here; undefined: there can. */
export function dovecotMissing(): string | undefined {
  if (findProgram("dovecot") === undefined) return "Dovecot is not installed";
  if (process.getuid?.() !== 0) return "Dovecot can only be started by root";
  return undefined;
}

/**
 * Starts it; the socket is `auth.sock` in `dir`, and each login's password is in a file of its own there:
 * `anna@example.org.passwd` holds `anna@example.org:password`. `more` is added to its configuration.
 */
export async function startDovecot(dir: string, more = ""): Promise<Service> {
  const file = path.join(dir, "dovecot.conf");
  fs.writeFileSync(
    file,
    `base_dir = ${dir}/run
state_dir = ${dir}/state
log_path = /dev/stderr
protocols =
ssl = no
auth_mechanisms = plain
auth_failure_delay = 0 secs
auth_username_format = %Lu
passdb {
  driver = passwd-file
  args = scheme=PLAIN ${dir}/%Lu.passwd
}
userdb {
  driver = static
  args = uid=65534 gid=65534 home=/nonexistent
}
service auth {
  unix_listener ${dir}/auth.sock {
    mode = 0666
  }
}
service stats {
  chroot =
}
${more}`,
  );
  const service = new Service(findProgram("dovecot")!, ["-F", "-c", file]);
  await eventually(
    () => {
      if (service.over) throw new Error(`Dovecot ended\n${service.output}`);
      return fs.existsSync(path.join(dir, "auth.sock")) ? true : undefined;
    },
    () => `Dovecot's socket\n${service.output}`,
  );
  return service;
}
