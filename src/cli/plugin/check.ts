/**
 * `postern plugin check PATH`: loads a plugin and starts it with options, tells what is wrong with it, else what it does
 * and what that costs.
 *
 * Never: connects to anything by itself; what the plugin does when it starts is the plugin's.
 * @module
 */
import * as Effect from "effect/Effect";
import * as Result from "effect/Result";
import { readFile } from "node:fs/promises";
import * as path from "node:path";
import { compilePipeline, type LoadedPlugin } from "../../pipeline/compile.ts";
import { loadPlugins } from "../../pipeline/load.ts";
import type { Edge, Manifest, Plugin } from "../../plugin/mod.ts";
import { visible } from "../../settings/problem.ts";
import { testServices } from "../../testing/edge.ts";
import { CheckReport, type Finding } from "../check/report.ts";
import { UsageError } from "../errors.ts";
import type { Run } from "../io.ts";
import type { pluginCheckSpec } from "../specs.ts";
import { findPlugin, importFile } from "./load.ts";
import { stageFindings } from "./stages.ts";

const AT = "plugin";

export const run: Run<typeof pluginCheckSpec> = async ({ flags, words }, io) => {
  const options = flags.options === undefined ? undefined : parsed(flags.options);
  const { module, shown } = await findPlugin(words.path, io.cwd);
  const exports = await importFile(module, io.cwd);
  const report = new CheckReport(io);
  const loaded = await loadPlugins([{
    use: shown,
    listeners: undefined,
    mode: "enforce",
    onError: undefined,
    budget: 5_000,
    watch: false,
    options,
    path: AT,
  }], {
    builtins: new Map([[shown, () => Promise.resolve(exports)]]),
    importModule: () => Promise.reject(new Error("it is imported already")),
  });
  const [one] = loaded.plugins;
  if (one === undefined) {
    report.section(shown, loaded.problems.map(wrong));
    return report.end();
  }
  const started = await startOnce(one, io.cwd);
  report.section(
    shown,
    started.plugin === undefined
      ? started.findings
      : [...described(started.plugin, one), ...started.findings],
  );
  if (started.plugin !== undefined) report.section("Stages", stageFindings(started.plugin.hooks));
  return report.end();
};

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new UsageError(
      `Cannot use --options: expected JSON such as '{"domains":["spam.test"]}'`,
      "plugin check",
    );
  }
}

/** In the engine's own way, and stopped again: what it gave, what it logged, what is wrong. */
async function startOnce(loaded: LoadedPlugin, cwd: string) {
  const services = testServices(
    { now: Date.now() },
    (file) => readFile(path.resolve(cwd, file), "utf8"),
  );
  let plugin: Plugin | undefined;
  const keeping = async (edge: Edge, options: unknown) =>
    plugin = await loaded.exports.default(edge, options);
  // By itself it has nobody who gives the notes that it reads.
  const alone = { ...loaded, exports: { default: keeping } };
  const made = await Effect.runPromise(
    Effect.result(compilePipeline([alone], services.services)),
  );
  const logged = services.logs.filter(({ level }) => level === "warn" || level === "error")
    .map(({ level, message }): Finding => ({
      status: "warning",
      subject: "",
      detail: visible(`it logs (${level}): ${message}`),
    }));
  if (Result.isFailure(made)) {
    return { plugin: undefined, findings: [...logged, ...made.failure.problems.map(wrong)] };
  }
  await made.success.close();
  const failures = services.failures.map(({ stage, message }): Finding => ({
    status: "warning",
    subject: "",
    detail: visible(`it fails (${stage}): ${message}`),
  }));
  return { plugin, findings: [...logged, ...failures] };
}

function wrong(problem: { readonly pluginPath: string; readonly message: string }): Finding {
  const where = problem.pluginPath.slice(AT.length).replace(/^\./, "");
  const detail = where === "" || where === "use" ? problem.message : `${where}: ${problem.message}`;
  return { status: "wrong", subject: "", detail: visible(detail) };
}

function described(plugin: Plugin, { exports, settings }: LoadedPlugin): Finding[] {
  const { options, manifest } = exports;
  const given = settings.options === undefined ? "none given" : "valid";
  return [
    { status: "ok", subject: "name", detail: plugin.name },
    options === undefined
      ? {
        status: "note",
        subject: "options",
        detail: "no schema: whatever is written is passed on",
      }
      : { status: "ok", subject: "options", detail: `${given}; checked by its schema` },
    {
      status: plugin.onError === undefined ? "note" : "ok",
      subject: "on failure",
      detail: plugin.onError ?? "tempfail, the default: it says nothing itself",
    },
    manifest === undefined
      ? { status: "note", subject: "manifest", detail: "none" }
      : { status: "ok", subject: "manifest", detail: visible(manifestText(manifest)) },
    {
      status: "ok",
      subject: "content",
      detail: plugin.holdBody ?? manifest?.holdBody === true
        ? "held until its verdict: it goes upstream when all of it has come"
        : "not held: it goes upstream while it comes",
    },
  ];
}

function manifestText(manifest: Manifest): string {
  const list = (what: string, names: readonly string[] | undefined) =>
    names === undefined || names.length === 0 ? [] : [`${what} ${names.join(", ")}`];
  const parts = [
    ...(manifest.version === undefined ? [] : [`version ${manifest.version}`]),
    ...list("talks to", manifest.net),
    ...list("reads", manifest.read),
    ...list("reads the notes", manifest.reads),
    ...list("gives the notes", manifest.gives),
  ];
  return parts.length === 0 ? "it says nothing" : parts.join("; ");
}
