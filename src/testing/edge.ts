/**
 * An edge for tests: fake clock, state in memory, captured log and metrics, files that are strings.
 * @module
 */
import { memoryState } from "../state/memory.ts";
import type { PluginFailure } from "../pipeline/failure.ts";
import { makeEdge, Notes, type PipelineServices, type PluginEvent } from "../pipeline/make_edge.ts";
import { passwords } from "../pipeline/passwords.ts";
import { describe } from "../pipeline/text.ts";
import type { Edge } from "../plugin/edge.ts";
import { type FakeClock, ManualClock } from "./clock.ts";

/** What a test may set up. */
export interface TestEdgeOptions {
  /** Where the clock starts, in milliseconds since the epoch. Default: 2026-01-01T00:00:00Z. */
  readonly now?: number;
  /** Files by path, for `edge.readText`. */
  readonly files?: { readonly [path: string]: string };
  /** The plugin's name in the log and the metrics. Default `test`. */
  readonly name?: string;
}

/** What a plugin did, for a test to look at. */
export interface Observed {
  /** The clock of the plugin, its state and its budgets. */
  readonly clock: FakeClock;
  /** What it logged. */
  readonly logs: readonly PluginEvent[];
  /** Counters by name. */
  readonly counts: ReadonlyMap<string, number>;
  /** Observed values by name. */
  readonly values: ReadonlyMap<string, readonly number[]>;
  /** Its own failures: what it threw, its nonsense, its hangs. */
  readonly failures: readonly PluginFailure[];
  /** Changes (or makes) a file, and tells those who watch it. */
  writeFile(path: string, text: string): void;
}

/** An edge and what was done with it. */
export interface TestEdge extends Observed {
  /** To be handed to a plugin's factory. */
  readonly edge: Edge;
}

/** Services for tests; the engine's and `testEdge`'s alike. */
export interface TestServices extends Observed {
  readonly clock: ManualClock;
  readonly services: PipelineServices;
}

/** 2026-01-01T00:00:00Z: a test must not depend on the day it runs. */
const START = 1_767_225_600_000;

/** Makes the services. */
export function testServices(options: TestEdgeOptions): TestServices {
  const clock = new ManualClock(options.now ?? START);
  const logs: PluginEvent[] = [];
  const failures: PluginFailure[] = [];
  const counts = new Map<string, number>();
  const values = new Map<string, number[]>();
  const files = new Map(Object.entries(options.files ?? {}));
  const watchers = new Map<string, Set<() => void>>();
  return {
    clock,
    logs,
    counts,
    values,
    failures,
    writeFile: (path, text) => {
      files.set(path, text);
      for (const changed of [...watchers.get(path) ?? []]) changed();
    },
    services: {
      clock,
      state: memoryState({ clock }),
      log: (event) => void logs.push(event),
      report: (failure) => void failures.push(failure),
      metrics: {
        count: (_, name, by) => void counts.set(name, (counts.get(name) ?? 0) + by),
        observe: (_, name, value) => {
          const known = values.get(name);
          if (known === undefined) values.set(name, [value]);
          else known.push(value);
        },
      },
      readText: async (path) => {
        const text = files.get(path);
        if (text === undefined) throw new Error(`Cannot read file: ${path} does not exist`);
        return text;
      },
      watchFile: (path, changed) => {
        const of = watchers.get(path) ?? new Set();
        watchers.set(path, of.add(changed));
        return () => void of.delete(changed);
      },
      passwords,
    },
  };
}

/**
 * An edge to call a plugin's own functions with, without the engine. For verdicts, failure policies and budgets as in
 * production use {@linkcode runPlugin}.
 */
export function testEdge(options: TestEdgeOptions = {}): TestEdge {
  const { services, ...observed } = testServices(options);
  const name = options.name ?? "test";
  const edge = makeEdge(services, {
    name,
    statePrefix: `${name}:`,
    shadow: false,
    disposers: new Set(),
    broke: (cause, asynchronous) =>
      services.report({
        plugin: name,
        stage: "watch",
        kind: asynchronous ? "rejected" : "threw",
        message: describe(cause),
        session: undefined,
        transaction: undefined,
        shadow: false,
      }),
  }, new Notes());
  return { ...observed, edge };
}
