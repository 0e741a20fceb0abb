/**
 * The names of a dialogue: `config dns` lines, in the manner of a zone file, one record or one trouble a line.
 *
 * Never: reads a file; looks beyond one line.
 * @module
 */
import { type DnsTrouble, type DnsZones, isTrouble } from "../../dns/static.ts";

/** Types that have a form in one line. */
const TYPES: ReadonlySet<string> = new Set(["A", "AAAA", "CNAME", "MX", "NS", "PTR", "TXT"]);

/** Zones of what stands behind `config dns` in each line; an error says which line is none. */
export function zonesOf(lines: readonly string[]): DnsZones {
  const zones: Record<string, Record<string, unknown> | DnsTrouble> = {};
  for (const line of lines) {
    const [, name = "", type = "", data = ""] = /^(\S+)\s+(\S+)(?:\s+(.*))?$/.exec(line) ?? [];
    if (isTrouble(type) && data === "") {
      zones[name] = type;
      continue;
    }
    if (!TYPES.has(type) || data === "") {
      throw new Error(`Not a record: ${line}; expected a name, ${[...TYPES].join(", ")}, and data`);
    }
    const known = zones[name];
    const zone = typeof known === "object" ? known : zones[name] = {};
    if (isTrouble(data) || type === "CNAME") {
      zone[type] = data;
      continue;
    }
    const before = zone[type];
    zone[type] = [...Array.isArray(before) ? before : [], type === "TXT" ? stringsOf(data) : data];
  }
  // Every value has been put where its type says.
  return zones as DnsZones;
}

/** `"one" "two"` is a record of two strings, anything else one of one. */
function stringsOf(data: string): readonly string[] {
  return /^"[^"]*"(?:\s+"[^"]*")*$/.test(data)
    ? [...data.matchAll(/"([^"]*)"/g)].map(([, text = ""]) => text)
    : [data];
}
