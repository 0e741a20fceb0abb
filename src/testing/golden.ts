/**
 * Dialogue files as tests of a plugin: played against the whole server in memory, or recorded.
 * @module
 */
import { readFile, writeFile } from "node:fs/promises";
import * as path from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import type { PluginExports, PluginModule } from "../plugin/module.ts";
import { parseSettings } from "../settings/parse.ts";
import { formatProblem } from "../settings/problem.ts";
import type { Settings } from "../settings/settings.ts";
import { dialogueConfig } from "./dialogue/config.ts";
import { type Dialogue, parseDialogue } from "./dialogue/parse.ts";
import { playDialogue, type Stage } from "./dialogue/play.ts";
import { recordDialogue } from "./dialogue/record.ts";
import { DialogueUpstream } from "./dialogue/upstream.ts";
import { dnsOf, type TestEdgeOptions, testServices } from "./edge.ts";
import type { MemoryLines } from "./lines.ts";
import { modulesOf, noFile, type OtherPlugins, UNDER_TEST } from "./server.ts";
import { PATIENCE, type RunningStage, startStage, UPSTREAM_PORT } from "./stage.ts";

/** How a dialogue file is run. */
export interface DialogueOptions {
  /** The plugin's options, where the dialogue has no `config plugin.options`. */
  readonly options?: unknown;
  /** More plugins by name, for the dialogue's `[[plugins]]` tables to use. */
  readonly plugins?: OtherPlugins;
  /** Files by path, for `edge.readText`; others are read from the dialogue's folder. */
  readonly files?: { readonly [path: string]: string };
  /** Services for `edge.connect`, as in `runPlugin`. */
  readonly services?: NonNullable<TestEdgeOptions["services"]>;
  /** Answers of `edge.dns`, as in `runPlugin`; those of the dialogue's `config dns` lines come before them. */
  readonly dns?: NonNullable<TestEdgeOptions["dns"]>;
  /** Where the clock starts, in milliseconds since the epoch. Default: 2026-01-01T00:00:00Z. */
  readonly now?: number;
  /** Where the client connects from. Default `192.0.2.1`. */
  readonly clientAddress?: string;
  /** Octets of a packet at most. Default: no limit. */
  readonly split?: number;
  /** Milliseconds of real time that a wait for a line may take before the dialogue fails. Default 5000. */
  readonly patience?: number;
  /** Write what is answered into the file instead of comparing. Default: whether `UPDATE_GOLDEN=1` is set. */
  readonly update?: boolean;
}

/**
 * Plays a dialogue file with the plugin loaded. Rejects with a {@linkcode DialogueFailed} that names file and line, what
 * was expected and what came, and both conversations. With `UPDATE_GOLDEN=1` it writes the file anew instead.
 *
 * @example
 * ```ts ignore
 * import { test } from "node:test";
 * import { runDialogue } from "@postern/postern/testing";
 * import * as plugin from "./mod.ts";
 *
 * test("refuses", () => runDialogue(plugin, new URL("refuses.dialogue", import.meta.url)));
 * ```
 */
export async function runDialogue(
  plugin: PluginModule<any> | PluginExports,
  file: URL | string,
  options: DialogueOptions = {},
): Promise<void> {
  const place = pathOf(file);
  const source = await readFile(place, "utf8");
  const dialogue = parseDialogue(path.basename(place), source);
  const update = options.update ?? process.env["UPDATE_GOLDEN"] === "1";
  await onStage(plugin, dialogue, path.dirname(place), options, async (stage) => {
    if (!update) return await playDialogue(dialogue, stage);
    const fresh = await recordDialogue(dialogue, source, stage);
    if (fresh !== source) await writeFile(place, fresh);
  });
}

/** The path of a file that may be an address. */
export function pathOf(file: URL | string): string {
  return file instanceof URL || file.startsWith("file:") ? fileURLToPath(file) : file;
}

async function onStage(
  plugin: PluginModule<any> | PluginExports,
  dialogue: Dialogue,
  folder: string,
  options: DialogueOptions,
  work: (stage: Stage) => Promise<void>,
): Promise<void> {
  const patience = options.patience ?? PATIENCE;
  const { toml, capabilities, dns } = dialogueConfig(dialogue, {
    upstreamPort: UPSTREAM_PORT,
    plugin: UNDER_TEST,
  });
  const upstream = new DialogueUpstream(dialogue, {
    // Only connections of the stage come to it, and the dialogue begins when there is one.
    secure: (io) => running.secureUpstream(io as MemoryLines),
    patience,
  });
  upstream.capabilities = capabilities;
  const running: RunningStage = await startStage({
    settings: settingsOf(dialogue, toml, options.options),
    services: testServices(
      { ...options, dns: dnsOf(options.dns, dns) },
      (file) => readFile(path.resolve(folder, file), "utf8"),
    ),
    modules: modulesOf(plugin, options.plugins),
    upstream: (io) => upstream.accept(io),
    ...(options.clientAddress === undefined ? {} : { clientAddress: options.clientAddress }),
    ...(options.split === undefined ? {} : { split: options.split }),
    patience,
    transcript: upstream.transcript,
  });
  const { connect, clock, stop } = running;
  try {
    await work({ connect, upstream, advance: clock.advance });
  } finally {
    await stop();
    await upstream.stop();
  }
}

function settingsOf(dialogue: Dialogue, toml: string, options: unknown): Settings {
  const parsed = parseSettings(toml, {
    file: dialogue.name,
    baseDir: "/",
    env: () => undefined,
    readFile: noFile,
  });
  // The lines of the text that was made of the dialogue are not those of the file.
  if (!parsed.ok) {
    throw new Error(
      parsed.problems.map((problem) => formatProblem({ ...problem, line: 0 })).join("\n"),
    );
  }
  const { settings } = parsed;
  return {
    ...settings,
    plugins: settings.plugins.map((entry) =>
      entry.use === UNDER_TEST && entry.options === undefined ? { ...entry, options } : entry
    ),
  };
}
