/**
 * For tests of plugins, under `deno test` and `bun test` alike, from a small thing to the whole: {@linkcode testEdge} gives
 * an edge with a fake clock, state in memory and a captured log; {@linkcode runPlugin} runs a plugin in the real engine,
 * stage by stage; {@linkcode testServer} in a whole server in memory, with clients that speak SMTP and a fake upstream;
 * {@linkcode runDialogue} plays a dialogue file; {@linkcode pluginTests} finds all that belongs to a plugin.
 * @module
 */
export { testEdge } from "./edge.ts";
export type { Observed, TestEdge, TestEdgeOptions } from "./edge.ts";
export { staticDns } from "../dns/static.ts";
export type { DnsTrouble, DnsZone, DnsZones, StaticDns } from "../dns/static.ts";
export { runPlugin } from "./run_plugin.ts";
export type {
  BodyOutcome,
  EndOutcome,
  HeaderOutcome,
  RunOptions,
  TestPlugin,
} from "./run_plugin.ts";
export { testServer } from "./server.ts";
export type { FinishedTransaction, OtherPlugins, TestServer, TestServerOptions } from "./server.ts";
export type { ClientMessage, ClientReply, TestClient } from "./client.ts";
export type {
  FakeUpstream,
  UpstreamMessage,
  UpstreamReply,
  UpstreamScript,
  UpstreamStep,
} from "./fake_upstream.ts";
export { runDialogue } from "./golden.ts";
export type { DialogueOptions } from "./golden.ts";
export { DialogueFailed } from "./dialogue/failure.ts";
export type { DialogueStep } from "./dialogue/parse.ts";
export { pluginFiles, pluginTests } from "./plugin_tests.ts";
export type { PluginFiles, PluginKit, PluginTest, PluginTests } from "./plugin_tests.ts";
export type { FakeClock } from "./clock.ts";
export type { Outcome, Ruling, SymbolPoints } from "../pipeline/algebra.ts";
export type { Stage } from "../pipeline/answer.ts";
export type { FailureKind, PluginFailure } from "../pipeline/failure.ts";
export type { PluginEvent } from "../pipeline/make_edge.ts";
export type { AuthOutcome } from "../pipeline/pipeline.ts";
export type { DecisionTrace, TraceEntry, WouldHave } from "../pipeline/trace.ts";
export type { Fate } from "../server/record.ts";
export type { HeaderEdit } from "../wire/headers.ts";
export type * from "../settings/input.ts";
export type * from "../plugin/mod.ts";
