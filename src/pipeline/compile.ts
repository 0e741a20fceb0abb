/**
 * Compiles loaded plugins into one generation: order, instances, steps by listener and stage.
 *
 * Nothing global: two pipelines live in one process without knowing of each other.
 * @module
 */
import * as Data from "effect/Data";
import * as Effect from "effect/Effect";
import type { SessionFacts } from "../plugin/facts.ts";
import type { Authenticator, Hooks, Plugin, PluginExports } from "../plugin/module.ts";
import type { PluginSettings } from "../settings/settings.ts";
import { canaryPlace, condition } from "./condition.ts";
import { failureKind, failureMessage, type PluginFailure } from "./failure.ts";
import { type EdgeOwner, makeEdge, Notes, type PipelineServices } from "./make_edge.ts";
import { orderPlugins, type Problem } from "./order.ts";
import type { CompiledPlugin, Step } from "./phase.ts";
import type { AskedPlugin, Pipeline, Stages } from "./pipeline.ts";
import { type ListenerPlan, SessionRun } from "./session.ts";
import { shapeOf } from "./shape.ts";

/** A plugin whose file has been imported and whose options have been validated. */
export interface LoadedPlugin {
  readonly settings: PluginSettings;
  readonly exports: PluginExports;
  readonly builtin: boolean;
}

/** Plugins that cannot be used; nothing of them is left running. */
export class PluginProblems extends Data.TaggedError("PluginProblems")<{
  readonly problems: readonly Problem[];
}> {
  override get message(): string {
    return this.problems.map(({ pluginPath, message }) => `${pluginPath}: ${message}`).join("\n");
  }
}

/** Milliseconds that a plugin may take to start, and to stop. */
const START_LIMIT = 30_000;
const STOP_LIMIT = 5_000;

interface Instance {
  readonly compiled: CompiledPlugin;
  readonly plugin: Plugin;
  readonly owner: EdgeOwner;
}

/** Makes the instances and their plan; `mode = "off"` is left out. Fails with every problem at once. */
export const compilePipeline: (
  plugins: readonly LoadedPlugin[],
  services: PipelineServices,
) => Effect.Effect<Pipeline, PluginProblems> = Effect.fnUntraced(function* (plugins, services) {
  const report = quiet(services.report);
  const { ordered, problems: disorder } = orderPlugins(
    plugins.filter(({ settings }) => settings.mode !== "off"),
  );
  if (disorder.length > 0) return yield* new PluginProblems({ problems: disorder });

  const problems: Problem[] = [];
  const instances: Instance[] = [];
  const notes = new Notes();
  const ordinals = ordinalsOf(plugins);
  const usedNames = new Map<string, { readonly use: string; count: number }>();
  const stop = () => Promise.all(instances.reverse().map((instance) => stopped(instance, report)));

  const start = Effect.gen(function* () {
    for (const loaded of ordered) {
      const { settings, exports } = loaded;
      const owner = ownerOf(settings, ordinals.get(settings) ?? 1, report);
      const edge = makeEdge(services, owner, notes);
      const made = yield* Effect.tryPromise({
        try: async () => shapeOf(await exports.default(edge, settings.options ?? {})),
        catch: (cause) => `The plugin does not start: ${failureMessage(cause)}`,
      }).pipe(
        Effect.timeoutOrElse({
          duration: START_LIMIT,
          orElse: () => Effect.fail(`The plugin has not started within ${START_LIMIT} ms`),
        }),
        Effect.catch((message) => Effect.succeed({ wrong: [message] })),
      );
      if ("wrong" in made) {
        for (const dispose of [...owner.disposers]) dispose();
        for (const message of made.wrong) problems.push({ pluginPath: settings.path, message });
        continue;
      }
      const { plugin } = made;
      const same = usedNames.get(plugin.name);
      if (same !== undefined && same.use !== settings.use) {
        problems.push({
          pluginPath: settings.path,
          message: `${settings.use} and ${same.use} are both named "${plugin.name}"`,
        });
      }
      const count = (same?.count ?? 0) + 1;
      usedNames.set(plugin.name, { use: same?.use ?? settings.use, count });
      owner.name = count === 1 ? plugin.name : `${plugin.name}#${count}`;
      instances.push({ compiled: compiledOf(loaded, plugin, owner.name), plugin, owner });
    }
    if (problems.length > 0) return yield* new PluginProblems({ problems });
    return new CompiledPipeline(instances.map(({ compiled }) => compiled), services, report, stop);
  });
  return yield* start.pipe(Effect.onError(() => Effect.promise(stop)));
});

/** A reporter that breaks must not break a session. */
function quiet(report: (failure: PluginFailure) => void): (failure: PluginFailure) => void {
  return (failure) => {
    try {
      report(failure);
    } catch {
      // There is nobody left to tell.
    }
  };
}

/** The how-many-th entry of its `use` each is: state keys stay the same over reloads and reordering by notes. */
function ordinalsOf(plugins: readonly LoadedPlugin[]): Map<PluginSettings, number> {
  const counts = new Map<string, number>();
  return new Map(plugins.map(({ settings }) => {
    const ordinal = (counts.get(settings.use) ?? 0) + 1;
    counts.set(settings.use, ordinal);
    return [settings, ordinal];
  }));
}

function ownerOf(
  settings: PluginSettings,
  ordinal: number,
  report: (failure: PluginFailure) => void,
): EdgeOwner {
  const owner: EdgeOwner = {
    name: settings.use,
    statePrefix: `${settings.use}#${ordinal}:`,
    shadow: settings.mode === "shadow",
    percent: settings.percent,
    disposers: new Set(),
    broke: (cause, asynchronous) => report(outside(owner, "watch", cause, asynchronous)),
  };
  return owner;
}

function outside(
  owner: EdgeOwner,
  stage: "watch" | "close",
  cause: unknown,
  asynchronous: boolean,
): PluginFailure {
  return {
    plugin: owner.name,
    stage,
    kind: failureKind(cause, asynchronous),
    message: failureMessage(cause),
    session: undefined,
    transaction: undefined,
    shadow: owner.shadow,
  };
}

function compiledOf({ settings, exports }: LoadedPlugin, plugin: Plugin, name: string) {
  const compiled: CompiledPlugin = {
    name,
    shadow: settings.mode === "shadow",
    onError: settings.onError ?? plugin.onError ?? "tempfail",
    budget: settings.budget,
    listeners: settings.listeners,
    percent: settings.mode === "enforce" ? settings.percent : undefined,
    when: settings.when && condition(settings.when),
    holdBody: plugin.holdBody ?? exports.manifest?.holdBody === true,
    hooks: plugin.hooks,
  };
  return compiled;
}

async function stopped(
  { plugin, owner }: Instance,
  report: (failure: PluginFailure) => void,
): Promise<void> {
  for (const dispose of [...owner.disposers]) dispose();
  const closing = Effect.tryPromise({ try: async () => await plugin.close?.(), catch: (e) => e })
    .pipe(
      Effect.timeoutOrElse({
        duration: STOP_LIMIT,
        orElse: () => Effect.fail(new Error(`close has not ended within ${STOP_LIMIT} ms`)),
      }),
      Effect.catch((cause) => Effect.sync(() => report(outside(owner, "close", cause, true)))),
    );
  await Effect.runPromise(closing);
}

class CompiledPipeline implements Pipeline {
  readonly stages: Stages;
  readonly plugins: readonly string[];
  readonly #compiled: readonly CompiledPlugin[];
  /** By listener, then by how many of the plugins' percents a session is outside of. */
  readonly #plans = new Map<string, (ListenerPlan | undefined)[]>();
  /** The distinct ones, ascending. */
  readonly #percents: readonly number[];
  readonly #now: () => number;
  readonly #report: (failure: PluginFailure) => void;
  readonly #stop: () => Promise<unknown>;
  #closed: Promise<void> | undefined;

  constructor(
    compiled: readonly CompiledPlugin[],
    services: PipelineServices,
    report: (failure: PluginFailure) => void,
    stop: () => Promise<unknown>,
  ) {
    this.#compiled = compiled;
    this.#now = () => services.clock.now();
    this.#report = report;
    this.#stop = stop;
    this.plugins = compiled.map(({ name }) => name);
    this.#percents = [
      ...new Set(compiled.flatMap(({ percent }) => percent === undefined ? [] : [percent])),
    ].sort((a, b) => a - b);
    this.stages = planOf(compiled).stages;
  }

  #plan(listener: string, session: string | undefined): ListenerPlan {
    const place = session === undefined || this.#percents.length === 0 ? 0 : canaryPlace(session);
    const outside = this.#percents.filter((percent) => place >= percent).length;
    let plans = this.#plans.get(listener);
    if (plans === undefined) this.#plans.set(listener, plans = []);
    return plans[outside] ??= planOf(
      this.#compiled.filter(({ listeners }) => listeners?.includes(listener) !== false)
        .map((plugin) =>
          plugin.percent !== undefined && place >= plugin.percent
            ? { ...plugin, shadow: true }
            : plugin
        ),
    );
  }

  open(session: SessionFacts): SessionRun {
    const plan = this.#plan(session.listener, session.id);
    return new SessionRun(plan, session, this.#now, this.#report);
  }

  mechanisms(listener: string, session?: SessionFacts): readonly string[] {
    const plan = this.#plan(listener, session?.id);
    if (session === undefined || !plan.conditional) return plan.mechanisms;
    return mechanismsOf(
      plan.auth.filter(({ plugin: { when } }) =>
        when === undefined || when(session, undefined, undefined)
      ),
    );
  }

  close(): Promise<void> {
    return this.#closed ??= this.#stop().then(() => {});
  }
}

function planOf(plugins: readonly CompiledPlugin[]): ListenerPlan {
  const steps = <K extends keyof Hooks>(stage: K): readonly Step<NonNullable<Hooks[K]>>[] =>
    plugins.flatMap((plugin) => {
      const hook = plugin.hooks[stage];
      return hook === undefined ? [] : [{ plugin, hook }];
    });
  const plan = {
    connect: steps("connect"),
    helo: steps("helo"),
    auth: steps("auth"),
    mail: steps("mail"),
    rcpt: steps("rcpt"),
    data: steps("data"),
    header: steps("header"),
    body: steps("body"),
    end: steps("end"),
    reply: steps("reply"),
    on: steps("on"),
  };
  const stages: Stages = {
    connect: plan.connect.length > 0,
    helo: plan.helo.length > 0,
    mail: plan.mail.length > 0,
    rcpt: plan.rcpt.length > 0,
    data: plan.data.length > 0,
    header: plan.header.length > 0,
    observe: plan.body.some(({ plugin, hook }) =>
      hook.observe !== undefined || plugin.shadow && hook.transform !== undefined
    ),
    transform: plan.body.some(({ plugin, hook }) => !plugin.shadow && hook.transform !== undefined),
    scan: plan.body.some(({ hook }) => hook.scan !== undefined),
    end: plan.end.length > 0,
    reply: plan.reply.length > 0,
    auth: plan.auth.some(({ plugin }) => !plugin.shadow),
  };
  return {
    ...plan,
    asked: plugins.map(askedOf),
    stages,
    holds: plugins.filter(({ shadow, holdBody }) => holdBody && !shadow),
    conditional: plugins.some(({ when }) => when !== undefined),
    mechanisms: mechanismsOf(plan.auth),
  };
}

function mechanismsOf(steps: readonly Step<Authenticator>[]): readonly string[] {
  const served = steps.filter(({ plugin }) => !plugin.shadow);
  return [...new Set(served.flatMap(({ hook }) => hook.mechanisms))];
}

/** In the order of a transaction. */
const DECIDING = [
  "connect",
  "helo",
  "auth",
  "mail",
  "rcpt",
  "data",
  "header",
  "body",
  "end",
] as const;

function askedOf({ name, shadow, when, hooks }: CompiledPlugin): AskedPlugin {
  return {
    plugin: name,
    shadow,
    conditional: when !== undefined,
    stages: DECIDING.filter((stage) => hooks[stage] !== undefined),
  };
}
