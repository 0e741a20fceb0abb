/**
 * A plugin in a whole server: clients that speak SMTP, the real engine, a fake upstream behind it.
 * @module
 */
import type { DecisionTrace } from "../pipeline/trace.ts";
import type { TransactionFacts } from "../plugin/facts.ts";
import type { PluginExports, PluginModule } from "../plugin/module.ts";
import type { Fate } from "../server/record.ts";
import type { ConfigInput } from "../settings/input.ts";
import { decodeConfig } from "../settings/parse.ts";
import { formatProblem } from "../settings/problem.ts";
import type { Settings } from "../settings/settings.ts";
import type { Reply } from "../wire/reply.ts";
import { LineClient, type TestClient } from "./client.ts";
import { type Observed, type TestEdgeOptions, testServices } from "./edge.ts";
import { AnsweringUpstream, type FakeUpstream, type UpstreamScript } from "./fake_upstream.ts";
import { PATIENCE, startStage, UPSTREAM_PORT } from "./stage.ts";
import { Transcript } from "./waiting.ts";

/** Plugins by the name that a `[[plugins]]` entry uses: modules, or functions that load them. */
export type OtherPlugins = {
  readonly [name: string]: PluginExports | (() => Promise<PluginExports>);
};

/** How a test runs a server. */
export interface TestServerOptions extends Omit<TestEdgeOptions, "name"> {
  /** The plugin's options, as the configuration would hold them; validated by its schema. */
  readonly options?: unknown;
  /** Default `enforce`. */
  readonly mode?: "enforce" | "shadow";
  /** The operator's `on_error`; default: the plugin's own. */
  readonly onError?: "pass" | "tempfail" | "refuse";
  /** Milliseconds per phase. Default 5000. */
  readonly budget?: number;
  /** More plugins by name, for `[[plugins]]` entries of `config` to use. */
  readonly plugins?: OtherPlugins;
  /** Tables that replace the kit's own: one listener `mx`, one upstream `fake`, every recipient to it, no Received field. */
  readonly config?: ConfigInput;
  /** What the upstream says that a good server would not. */
  readonly upstream?: UpstreamScript;
  /** Where clients connect from. Default `192.0.2.1`. */
  readonly clientAddress?: string;
  /** Octets of a packet at most, to try every place where a line can be cut. Default: no limit. */
  readonly split?: number;
  /** Milliseconds of real time that a wait for a line may take before the test fails. Default 5000. */
  readonly patience?: number;
}

/** A transaction that is over. */
export interface FinishedTransaction {
  /** Its facts, as they were at the end. */
  readonly tx: TransactionFacts;
  /** What became of it. */
  readonly fate: Fate;
  /** What the client was told to its last command; undefined when nobody was left to tell. */
  readonly reply: Reply | undefined;
  /** What each plugin decided, and why. */
  readonly trace: DecisionTrace;
}

/** A server with the plugin under test, on a network in memory. */
export interface TestServer extends Observed, AsyncDisposable {
  /** The server behind. */
  readonly upstream: FakeUpstream;
  /** Transactions that are over, in order. */
  readonly transactions: readonly FinishedTransaction[];
  /** A new connection. The banner is left to be read. */
  connect(): Promise<TestClient>;
  /** The server's own log, as text: what became of each message. */
  log(): string;
  /** Ends every connection and closes the plugin. */
  stop(): Promise<void>;
}

/**
 * Starts a server with a plugin. Rejects where `serve` would refuse to start.
 *
 * @example
 * ```ts
 * import { testServer } from "@postern/postern/testing";
 *
 * await using server = await testServer((edge) => ({
 *   name: "no-spam-test",
 *   hooks: {
 *     rcpt: (to) =>
 *       to.domain === "spam.test" ? edge.refuse(550, "5.7.1", "Not accepted here") : undefined,
 *   },
 * }));
 * const client = await server.connect();
 * await client.expect("220 *");
 * await client.ehlo();
 * await client.command("MAIL FROM:<a@client.test>", "250 *");
 * await client.command("RCPT TO:<b@spam.test>", "550 5.7.1 Not accepted here");
 * await client.sendMessage({ to: "b@example.org" });
 * if (server.upstream.messages.length !== 1) throw new Error("Expected one message");
 * ```
 */
export async function testServer<Options = any>(
  plugin: PluginModule<Options> | PluginExports,
  options: TestServerOptions = {},
): Promise<TestServer> {
  const patience = options.patience ?? PATIENCE;
  const transcript = new Transcript();
  const upstream = new AnsweringUpstream(options.upstream ?? {}, transcript, patience);
  const services = testServices(options);
  const stage = await startStage({
    settings: settingsOf(options),
    services,
    modules: modulesOf(plugin, options.plugins),
    upstream: (io) => upstream.accept(io),
    ...(options.clientAddress === undefined ? {} : { clientAddress: options.clientAddress }),
    ...(options.split === undefined ? {} : { split: options.split }),
    patience,
    transcript,
  });
  const { logs, counts, values, failures, writeFile } = services;
  const stop = async () => {
    await stage.stop();
    await upstream.stop();
  };
  return {
    clock: stage.clock,
    logs,
    counts,
    values,
    failures,
    writeFile,
    upstream,
    get transactions() {
      return stage.records.map(({ transaction, fate, reply }) => ({
        tx: transaction.facts,
        fate,
        reply,
        trace: transaction.trace,
      }));
    },
    connect: async () => new LineClient(await stage.connect()),
    log: stage.log,
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

/** The name that the plugin under test is used by. */
export const UNDER_TEST = "plugin-under-test";

/** Modules by the names that entries use. */
export function modulesOf(
  plugin: PluginModule<any> | PluginExports | undefined,
  others: OtherPlugins = {},
): Map<string, () => Promise<unknown>> {
  const modules = new Map<string, () => Promise<unknown>>(
    Object.entries(others).map(([name, module]) => [
      name,
      typeof module === "function" ? module : () => Promise.resolve(module),
    ]),
  );
  if (plugin !== undefined) {
    const exports = typeof plugin === "function" ? { default: plugin } : plugin;
    modules.set(UNDER_TEST, () => Promise.resolve(exports));
  }
  return modules;
}

function settingsOf(options: TestServerOptions): Settings {
  const entry = {
    use: UNDER_TEST,
    mode: options.mode ?? "enforce",
    on_error: options.onError,
    budget: `${options.budget ?? 5_000}ms`,
    options: options.options,
  };
  const { plugins = [], ...config } = options.config ?? {};
  const parsed = decodeConfig({
    hostname: "mx.test",
    received: false,
    listeners: [{ name: "mx", listen: "127.0.0.1:25" }],
    upstreams: { fake: { servers: [`127.0.0.1:${UPSTREAM_PORT}`] } },
    routes: [{ upstream: "fake" }],
    ...config,
    plugins: [withoutUndefined(entry), ...plugins],
  }, { file: "config", baseDir: "/", env: () => undefined, readFile: noFile });
  if (!parsed.ok) throw new Error(parsed.problems.map(formatProblem).join("\n"));
  return parsed.settings;
}

function withoutUndefined(entry: object): object {
  return Object.fromEntries(Object.entries(entry).filter(([, value]) => value !== undefined));
}

/** Secrets in files are none of a test's. */
export function noFile(path: string): never {
  throw new Error(`there is no file ${path} in this test`);
}
