/**
 * The system's resolver configuration, `resolv.conf`: its name servers (resolv.conf(5)).
 * @module
 */
import { parseIp } from "../wire/ip.ts";
import type { DnsServer } from "./exchange.ts";

/** What is asked where no server is named, as the system's own resolver does. */
const LOCAL: readonly DnsServer[] = [{ host: "127.0.0.1", port: 53 }];

/** The servers that a `resolv.conf` names, three at most; this machine where it names none, or is not there. */
export function parseResolvConf(text: string | undefined): readonly DnsServer[] {
  const servers: DnsServer[] = [];
  for (const line of (text ?? "").split("\n")) {
    const [keyword, host = ""] = line.trim().split(/\s+/);
    // A zone, as in fe80::1%eth0, is the interface's.
    const address = parseIp(host.replace(/%.*$/, ""));
    if (keyword === "nameserver" && address !== undefined) servers.push({ host, port: 53 });
  }
  return servers.length === 0 ? LOCAL : servers.slice(0, 3);
}
