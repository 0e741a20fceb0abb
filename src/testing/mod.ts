/**
 * For tests of plugins, under `deno test` and `bun test` alike: {@linkcode testEdge} gives an edge with a fake clock,
 * state in memory and a captured log; {@linkcode runPlugin} runs a plugin in the real engine.
 * @module
 */
export { testEdge } from "./edge.ts";
export type { Observed, TestEdge, TestEdgeOptions } from "./edge.ts";
export { runPlugin } from "./run_plugin.ts";
export type {
  BodyOutcome,
  EndOutcome,
  HeaderOutcome,
  RunOptions,
  TestPlugin,
} from "./run_plugin.ts";
export type { FakeClock } from "./clock.ts";
export type { Outcome, Ruling, SymbolPoints } from "../pipeline/algebra.ts";
export type { Stage } from "../pipeline/answer.ts";
export type { FailureKind, PluginFailure } from "../pipeline/failure.ts";
export type { PluginEvent } from "../pipeline/make_edge.ts";
export type { AuthOutcome } from "../pipeline/pipeline.ts";
export type { DecisionTrace, TraceEntry, WouldHave } from "../pipeline/trace.ts";
export type { HeaderEdit } from "../wire/headers.ts";
export type * from "../plugin/mod.ts";
