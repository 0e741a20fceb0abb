/**
 * A private Exim: its own folder, its own ports, ended with the test. An upstream that delivers into a Maildir.
 * @module
 */
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import * as path from "node:path";
import process from "node:process";
import { findExim, freePorts, greeted, mustRun, Service } from "./programs.ts";

/** Why there can be no private Exim here; undefined: there can. */
export function eximMissing(): string | undefined {
  const program = findExim();
  if (program === undefined) return "Exim is not installed";
  if (process.getuid?.() !== 0) return "Exim can only be started by root";
  // Unpacked beside the project, it may lack a library.
  const { status } = spawnSync(program, ["-C", "/dev/null", "-bV"], { stdio: "ignore" });
  return status === 0 ? undefined : "Exim does not run here";
}

/** The version that is installed. */
export async function eximVersion(): Promise<string> {
  const { stdout } = await mustRun(findExim() ?? "exim4", ["-C", "/dev/null", "-bV"]);
  return /^Exim version (\S+)/m.exec(stdout)?.[1] ?? "";
}

/** What a private Exim is made from. */
export interface EximOptions {
  /** Folder of its own; others must be able to enter it. */
  readonly dir: string;
  readonly cert: string;
  readonly key: string;
  /** The login that its port for TLS from the first octet, and every TLS session, wants. */
  readonly user: string;
  readonly password: string;
}

/** A running Exim: a port for plain text and STARTTLS, and one for implicit TLS. Under TLS it wants a login. */
export class Exim implements AsyncDisposable {
  readonly plainPort: number;
  readonly implicitPort: number;
  /** Folder with the Maildir. */
  readonly mail: string;
  readonly #dir: string;
  readonly #service: Service;

  constructor(dir: string, ports: readonly number[], service: Service) {
    [this.plainPort = 0, this.implicitPort = 0] = ports;
    this.mail = path.join(dir, "mail");
    this.#dir = dir;
    this.#service = service;
  }

  /** Its logs so far. */
  get log(): string {
    const folder = path.join(this.#dir, "spool");
    return fs.readdirSync(folder).filter((name) => name.endsWith("log"))
      .map((name) => fs.readFileSync(path.join(folder, name), "utf8")).join("\n");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#service.stop();
  }
}

/** Starts a private Exim; other ports are tried when somebody takes one in between. */
export async function startExim(options: EximOptions): Promise<Exim> {
  const program = findExim() ?? "exim4";
  for (let attempt = 1;; attempt++) {
    const ports = await freePorts(2);
    const dir = path.join(options.dir, `exim-${attempt}`);
    fs.mkdirSync(path.join(dir, "spool"), { recursive: true });
    fs.writeFileSync(path.join(dir, "cert.pem"), options.cert);
    fs.writeFileSync(path.join(dir, "key.pem"), options.key);
    fs.writeFileSync(path.join(dir, "exim.conf"), configuration(program, dir, ports, options));
    await mustRun("chown", ["-R", "mail:mail", dir]);
    await mustRun("chown", ["root:root", path.join(dir, "exim.conf")]);
    const service = new Service(program, ["-C", path.join(dir, "exim.conf"), "-bdf", "-q10s"]);
    const exim = new Exim(dir, ports, service);
    try {
      await greeted(service, ports);
      return exim;
    } catch (error) {
      await service.stop();
      if (attempt === 3) throw new Error(`${String(error)}\n${exim.log}`);
    }
  }
}

function configuration(
  program: string,
  dir: string,
  [plain, implicit]: readonly number[],
  { user, password }: EximOptions,
): string {
  return `
exim_path = ${program}
exim_user = mail
exim_group = mail
primary_hostname = exim.example.net
spool_directory = ${dir}/spool
log_file_path = ${dir}/spool/%slog
pid_file_path = ${dir}/exim.pid
local_interfaces = 127.0.0.1
daemon_smtp_ports = ${plain} : ${implicit}
tls_on_connect_ports = ${implicit}
disable_ipv6 = true
keep_environment =
host_lookup =
rfc1413_query_timeout = 0s
message_size_limit = 30M
smtp_accept_queue_per_connection = 0
smtp_accept_max_per_connection = 0
smtputf8_advertise_hosts = *
tls_advertise_hosts = *
tls_certificate = ${dir}/cert.pem
tls_privatekey = ${dir}/key.pem
never_users =
deliver_drop_privilege = true
acl_smtp_rcpt = acl_rcpt
begin acl
acl_rcpt:
  deny
    condition = \${if def:tls_in_cipher}
    !authenticated = *
    message = login first
  accept
begin routers
all:
  driver = accept
  transport = maildir
begin transports
maildir:
  driver = appendfile
  directory = ${dir}/mail
  maildir_format
  user = mail
  group = mail
begin retry
* * F,10m,1s
begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = \${if and {{eq{$auth2}{${user}}}{eq{$auth3}{${password}}}}}
  server_set_id = $auth2
  server_advertise_condition = \${if def:tls_in_cipher}
`;
}
