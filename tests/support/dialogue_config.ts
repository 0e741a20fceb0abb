/**
 * The configuration of a dialogue: one listener `mx`, one upstream `fake` that is the dialogue's own, one route to it
 * for every recipient, no `Received` field. `config` lines change it:
 *
 * ```
 * config hostname = "edge.test"                 a key of the top level; replaces the one above
 * config listener.require_tls = true            a key of the listener
 * config upstream.identity = "xclient"          a key of the upstream
 * config upstream.ehlo = PIPELINING,8BITMIME    what the upstream offers (not TOML; nothing: `upstream.ehlo =`)
 * config route.to = ["b.test"]                  a key of the route
 * config transports = tcp,memory                not under implicit TLS (not TOML; without it all: tcp,tls,memory)
 * config [[plugins]]                            from here on the lines stand as they are, at the end of the file
 * config use = "spam-score"
 * ```
 *
 * Before the first table several settings may share a line, two spaces apart.
 * @module
 */
import type { Dialogue } from "./dialogue.ts";

/** What the parts of a dialogue run with. */
export interface DialogueConfig {
  /** `postern.toml` */
  readonly toml: string;
  /** Keywords that the fake upstream offers. */
  readonly capabilities: readonly string[];
}

/** Transports that a dialogue makes sense on. */
export function transportsOf(dialogue: Dialogue): readonly string[] {
  const line = dialogue.config.find((text) => text.startsWith("transports"));
  return (line ?? "= tcp,tls,memory").replace(/^.*=/, "").split(",").map((word) => word.trim());
}

/** Puts a configuration together. */
export function dialogueConfig(
  dialogue: Dialogue,
  upstreamPort: number,
  implicitTls: boolean,
): DialogueConfig {
  const sections = new Map([
    ["top", new Map([["hostname", '"mx.test"'], ["received", "false"]])],
    ["listener", new Map([["name", '"mx"'], ["listen", '"127.0.0.1:0"']])],
    ["upstream", new Map([["servers", `["127.0.0.1:${upstreamPort}"]`]])],
    ["route", new Map([["upstream", '"fake"']])],
  ]);
  let capabilities = ["PIPELINING", "SIZE 104857600", "8BITMIME", "SMTPUTF8", "DSN"];
  const tables: string[] = [];
  for (const line of dialogue.config) {
    if (line.startsWith("transports")) continue;
    if (tables.length > 0 || line.startsWith("[")) {
      tables.push(line);
      continue;
    }
    for (const setting of line.trim().split(/\s{2,}(?=[\w.]+\s*=)/)) {
      const match = /^(?:(listener|upstream|route)\.)?([\w.]+)\s*=\s*(.*)$/.exec(setting);
      if (match === null) throw new Error(`${dialogue.name}: Not a setting: ${setting}`);
      const [, section = "top", key = "", value = ""] = match;
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
    ...tables,
  ];
  return { toml: `${toml.join("\n")}\n`, capabilities };
}
