/**
 * The configuration of a dialogue: one listener `mx`, one upstream `fake` that is the dialogue's own, one route to it
 * for every recipient, no `Received` field; what `config` lines make of that is told in `docs/dialogues.md`.
 * @module
 */
import type { DnsZones } from "../../dns/static.ts";
import type { Dialogue } from "./parse.ts";
import { zonesOf } from "./zones.ts";

/** What the parts of a dialogue run with. */
export interface DialogueConfig {
  /** `postern.toml` */
  readonly toml: string;
  /** Keywords that the fake upstream offers. */
  readonly capabilities: readonly string[];
  /** What the names are that it speaks of. */
  readonly dns: DnsZones;
}

/** Transports that a dialogue makes sense on. */
export function transportsOf(dialogue: Dialogue): readonly string[] {
  const line = dialogue.config.find((text) => text.startsWith("transports"));
  return (line ?? "= tcp,tls,memory").replace(/^.*=/, "").split(",").map((word) => word.trim());
}

/** What a dialogue does not say itself. */
export interface DialogueSurroundings {
  readonly upstreamPort: number;
  readonly implicitTls?: boolean;
  /** The plugin under test, by the name that its entry uses. */
  readonly plugin?: string;
}

/** Puts a configuration together. */
export function dialogueConfig(
  dialogue: Dialogue,
  { upstreamPort, implicitTls, plugin }: DialogueSurroundings,
): DialogueConfig {
  const sections = new Map([
    ["top", new Map([["hostname", '"mx.test"'], ["received", "false"]])],
    ["listener", new Map([["name", '"mx"'], ["listen", '"127.0.0.1:0"']])],
    ["upstream", new Map([["servers", `["127.0.0.1:${upstreamPort}"]`]])],
    ["route", new Map([["upstream", '"fake"']])],
    ["plugin", new Map([["use", JSON.stringify(plugin)]])],
  ]);
  let capabilities = ["PIPELINING", "SIZE 104857600", "8BITMIME", "SMTPUTF8", "DSN"];
  const tables: string[] = [];
  const records: string[] = [];
  for (const line of dialogue.config) {
    if (line.startsWith("transports")) continue;
    if (/^dns\s+[^\s=]/.test(line)) {
      records.push(line.slice("dns".length).trim());
      continue;
    }
    if (tables.length > 0 || line.startsWith("[")) {
      tables.push(line);
      continue;
    }
    for (const setting of line.trim().split(/\s{2,}(?=[\w.]+\s*=)/)) {
      const match = /^(?:(listener|upstream|route|plugin)\.)?([\w.]+)\s*=\s*(.*)$/.exec(setting);
      if (match === null) throw new Error(`${dialogue.name}: Not a setting: ${setting}`);
      const [, section = "top", key = "", value = ""] = match;
      if (section === "plugin" && plugin === undefined) {
        throw new Error(`${dialogue.name}: There is no plugin under test: ${setting}`);
      }
      if (section === "upstream" && key === "ehlo") {
        capabilities = value.split(",").map((word) => word.trim()).filter((word) => word !== "");
      } else sections.get(section)?.set(key, value);
    }
  }
  if (implicitTls) sections.get("listener")?.set("tls", '"implicit"');
  const lines = (section: string) =>
    [...sections.get(section) ?? []].map(([key, value]) => `${key} = ${value}`);
  const toml = [
    ...lines("top"),
    "",
    "[[listeners]]",
    ...lines("listener"),
    "",
    "[upstreams.fake]",
    ...lines("upstream"),
    "",
    "[[routes]]",
    ...lines("route"),
    "",
    ...plugin === undefined ? [] : ["[[plugins]]", ...lines("plugin"), ""],
    ...tables,
  ];
  return { toml: `${toml.join("\n")}\n`, capabilities, dns: zonesOf(records) };
}
