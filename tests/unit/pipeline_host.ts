/**
 * What the pipeline's tests share: an engine with several plugins, made-up facts, a fake clock.
 * @module
 */
import * as Clock from "effect/Clock";
import * as Effect from "effect/Effect";
import { compilePipeline } from "../../src/pipeline/compile.ts";
import type { Answered, Pipeline, SessionPipeline } from "../../src/pipeline/pipeline.ts";
import type { Outcome } from "../../src/pipeline/algebra.ts";
import { Transaction } from "../../src/pipeline/transaction.ts";
import type { Manifest, Plugin, PluginModule } from "../../src/plugin/module.ts";
import type { SessionFacts } from "../../src/plugin/facts.ts";
import type { PluginSettings } from "../../src/settings/settings.ts";
import { type TestServices, testServices } from "../../src/testing/edge.ts";
import { mailbox, session } from "../support/fake_facts.ts";

export interface Given extends Partial<PluginSettings> {
  readonly module: PluginModule<any>;
  readonly manifest?: Manifest;
}

/** A plugin of hooks only. */
export function hooks(name: string, hooks: Plugin["hooks"], more: Partial<Given> = {}): Given {
  return { module: () => ({ name, hooks }), use: name, ...more };
}

export { mailbox };

/** A session that has said nothing yet. */
export function facts(over: Partial<SessionFacts> = {}): SessionFacts {
  return session({ helo: "", esmtp: false, ...over });
}

export interface TestEngine {
  readonly pipeline: Pipeline;
  readonly session: SessionPipeline;
  readonly tx: Transaction;
  readonly host: TestServices;
  run<A>(effect: Effect.Effect<A>): Promise<A>;
  outcome(answered: Answered): Promise<Outcome>;
}

/** Compiles for real and opens one session with one transaction. */
export async function engine(
  given: readonly Given[],
  session: SessionFacts = facts(),
): Promise<TestEngine> {
  const host = testServices({});
  const plugins = given.map(({ module, manifest, ...settings }, i) => ({
    settings: {
      use: `p${i}`,
      listeners: undefined,
      mode: "enforce" as const,
      onError: undefined,
      budget: 1_000,
      watch: false,
      options: undefined,
      path: `plugins[${i}]`,
      ...settings,
    },
    exports: { default: module, ...(manifest === undefined ? {} : { manifest }) },
    builtin: false,
  }));
  const pipeline = await Effect.runPromise(compilePipeline(plugins, host.services));
  const run = <A>(effect: Effect.Effect<A>) =>
    Effect.runPromise(Effect.provideService(effect, Clock.Clock, host.clock));
  return {
    pipeline,
    session: pipeline.open(session),
    tx: new Transaction("s1.1", session, null, {}),
    host,
    run,
    outcome: async (answered) => Effect.isEffect(answered) ? await run(answered) : answered,
  };
}
