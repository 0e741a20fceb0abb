/**
 * A private OpenLDAP server with a few people in it.
 * @module
 */
import * as fs from "node:fs";
import * as path from "node:path";
import { findProgram, freePorts, greeted, mustRun, Service } from "./programs.ts";

const SCHEMAS = "/etc/ldap/schema";

/** Why there can be no private slapd here; undefined: there can. */
export function slapdMissing(): string | undefined {
  if (findProgram("slapd") === undefined) return "slapd is not installed";
  return fs.existsSync(`${SCHEMAS}/inetorgperson.schema`)
    ? undefined
    : "The schemas of slapd are not where Debian has them";
}

/** Who may search. */
export const ADMIN = { dn: "cn=admin,dc=example,dc=org", password: "s3rvice" } as const;

/** A running slapd. */
export interface Slapd extends AsyncDisposable {
  /** `ldap://127.0.0.1:port`, with StartTLS. */
  readonly plain: string;
  /** `ldaps://127.0.0.1:port` */
  readonly secure: string;
  /** `unix:/path` */
  readonly socket: string;
  /** Ends it; the next is started with {@linkcode Slapd.start}. */
  stop(): Promise<void>;
  start(): Promise<void>;
}

/** Starts it in a folder that holds `cert.pem` and `key.pem`; `people` are entries in LDIF. */
export async function startSlapd(dir: string, people: string): Promise<Slapd> {
  const file = path.join(dir, "slapd.conf");
  fs.mkdirSync(path.join(dir, "db"));
  fs.writeFileSync(
    file,
    `${
      ["core", "cosine", "inetorgperson"].map((name) => `include ${SCHEMAS}/${name}.schema`).join(
        "\n",
      )
    }
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile ${dir}/slapd.pid
argsfile ${dir}/slapd.args
TLSCertificateFile ${dir}/cert.pem
TLSCertificateKeyFile ${dir}/key.pem
database mdb
suffix "dc=example,dc=org"
rootdn "${ADMIN.dn}"
rootpw ${ADMIN.password}
directory ${dir}/db
maxsize 10485760
access to attrs=userPassword by anonymous auth by * none
access to * by users read by * none
`,
  );
  const root = "dn: dc=example,dc=org\nobjectClass: dcObject\nobjectClass: organization\n" +
    "o: Example\ndc: example\n\n";
  const program = findProgram("slapd")!;
  // slapd is slapadd by another name, which is not in every PATH.
  await mustRun(program, ["-T", "add", "-f", file], { input: root + people });
  const socket = path.join(dir, "ldapi");
  let service: Service | undefined;
  let ports: readonly number[] = [];

  const start = async (): Promise<void> => {
    for (let attempt = 1;; attempt++) {
      ports = await freePorts(2);
      const addresses = [
        `ldap://127.0.0.1:${ports[0]}`,
        `ldaps://127.0.0.1:${ports[1]}`,
        `ldapi://${encodeURIComponent(socket)}`,
      ];
      service = new Service(program, ["-d", "0", "-f", file, "-h", addresses.join(" ")]);
      try {
        await greeted(service, ports);
        return;
      } catch (error) {
        await service.stop();
        if (attempt === 3) throw error;
      }
    }
  };
  const stop = async (): Promise<void> => await service?.stop();
  await start();
  return {
    get plain() {
      return `ldap://127.0.0.1:${ports[0]}`;
    },
    get secure() {
      return `ldaps://127.0.0.1:${ports[1]}`;
    },
    socket: `unix:${socket}`,
    start,
    stop,
    [Symbol.asyncDispose]: stop,
  };
}
