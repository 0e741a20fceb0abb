/**
 * Compiles loaded plugins into one generation: order, instances, steps by listener and stage.
 *
 * Nothing global: two pipelines live in one process without knowing of each other.
 * @module
 */
import * as Data from "effect/Data";
import * as Effect from "effect/Effect";
import type { SessionFacts } from "../plugin/facts.ts";
import type { Authenticator, Hooks, PluginExports } from "../plugin/module.ts";
import type { PluginSettings } from "../settings/settings.ts";
import { changes } from "./body.ts";
import { canaryPlace, condition } from "./condition.ts";
import type { PluginFailure } from "./failure.ts";
import { swallow } from "./hook.ts";
import { type Instance, Instances, outside } from "./instances.ts";
import type { PipelineServices } from "./make_edge.ts";
import { orderPlugins, type Problem, SCORE } from "./order.ts";
import type { CompiledPlugin, Step } from "./phase.ts";
import type { AskedPlugin, Pipeline, Stages } from "./pipeline.ts";
import { type ListenerPlan, SessionRun } from "./session.ts";

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

/** An instance of one generation. */
interface Taken {
  readonly loaded: LoadedPlugin;
  readonly instance: Instance;
  readonly name: string;
  /** Names of those it stands behind. */
  readonly waitsFor: readonly string[];
  readonly renewed: boolean;
}

/**
 * Makes the instances, or takes those that run, and their plan; `mode = "off"` is left out. Fails with every problem at once,
 * and then nothing has changed.
 */
export const compilePipeline: (
  plugins: readonly LoadedPlugin[],
  services: PipelineServices,
  instances?: Instances,
) => Effect.Effect<Pipeline, PluginProblems> = Effect.fnUntraced(function* (
  plugins,
  services,
  instances = new Instances(services),
) {
  const { ordered, behind, problems: disorder } = orderPlugins(
    plugins.filter(({ settings }) => settings.mode !== "off"),
  );
  if (disorder.length > 0) return yield* new PluginProblems({ problems: disorder });

  const problems: Problem[] = [];
  const taken: Taken[] = [];
  const names = new Map<LoadedPlugin, string>();
  const ordinals = ordinalsOf(plugins);
  const usedNames = new Map<string, { readonly use: string; count: number }>();
  const stop = () =>
    Promise.all(taken.toReversed().map(({ instance }) => instances.release(instance)));

  const start = Effect.gen(function* () {
    for (const loaded of ordered) {
      const { settings } = loaded;
      const made = yield* instances.take(loaded, ordinals.get(settings) ?? 1);
      if ("wrong" in made) {
        for (const message of made.wrong) problems.push({ pluginPath: settings.path, message });
        continue;
      }
      const { name } = made.plugin;
      const same = usedNames.get(name);
      if (same !== undefined && same.use !== settings.use) {
        problems.push({
          pluginPath: settings.path,
          message: `${settings.use} and ${same.use} are both named "${name}"`,
        });
      }
      const count = (same?.count ?? 0) + 1;
      usedNames.set(name, { use: same?.use ?? settings.use, count });
      const own = count === 1 ? name : `${name}#${count}`;
      names.set(loaded, own);
      taken.push({
        loaded,
        instance: made,
        name: own,
        waitsFor: [...behind.get(loaded)!].flatMap((other) => names.get(other) ?? []),
        renewed: made.users === 1,
      });
    }
    if (problems.length > 0) return yield* new PluginProblems({ problems });
    for (const { instance, name } of taken) instance.owner.name = name;
    return new CompiledPipeline(taken, services, instances.report, stop);
  });
  return yield* start.pipe(Effect.onError(() => Effect.promise(stop)));
});

/** The how-many-th entry of its `use` each is: state keys stay the same over reloads and reordering by notes. */
function ordinalsOf(plugins: readonly LoadedPlugin[]): Map<PluginSettings, number> {
  const counts = new Map<string, number>();
  return new Map(plugins.map(({ settings }) => {
    const ordinal = (counts.get(settings.use) ?? 0) + 1;
    counts.set(settings.use, ordinal);
    return [settings, ordinal];
  }));
}

function compiledOf({ loaded, instance, name, waitsFor }: Taken): CompiledPlugin {
  const { settings, exports } = loaded;
  const { plugin } = instance;
  return {
    name,
    shadow: settings.mode === "shadow",
    onError: settings.onError ?? plugin.onError ?? "tempfail",
    budget: settings.budget,
    listeners: settings.listeners,
    percent: settings.mode === "enforce" ? settings.percent : undefined,
    when: settings.when && condition(settings.when),
    holdBody: plugin.holdBody ?? exports.manifest?.holdBody === true,
    waits: {
      for: new Set(waitsFor),
      // Whether a worker looks at the points cannot be seen from here: it says what it reads, or waits.
      score: exports.manifest?.reads?.includes(SCORE) ?? settings.worker !== undefined,
    },
    hooks: plugin.hooks,
  };
}

class CompiledPipeline implements Pipeline {
  readonly stages: Stages;
  readonly plugins: readonly string[];
  readonly renewed: readonly string[];
  readonly #uses: ReadonlyMap<string, string>;
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
    taken: readonly Taken[],
    services: PipelineServices,
    report: (failure: PluginFailure) => void,
    stop: () => Promise<unknown>,
  ) {
    const compiled = taken.map(compiledOf);
    this.#compiled = compiled;
    this.#now = () => services.clock.now();
    this.#report = report;
    this.#stop = stop;
    this.plugins = taken.map(({ name }) => name);
    this.renewed = taken.filter(({ renewed }) => renewed).map(({ name }) => name);
    this.#uses = new Map(taken.map(({ name, loaded }) => [name, loaded.settings.use]));
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

  useOf(name: string): string | undefined {
    return this.#uses.get(name);
  }

  reloaded(): void {
    for (const plugin of this.#compiled) {
      try {
        const answer: unknown = plugin.hooks.on?.reloaded?.(this.renewed);
        swallow(answer, (cause) => this.#report(outside(plugin, "on", cause, true)));
      } catch (cause) {
        this.#report(outside(plugin, "on", cause, false));
      }
    }
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
      hook.observe !== undefined || plugin.shadow && changes(hook)
    ),
    transform: plan.body.some(({ plugin, hook }) => !plugin.shadow && changes(hook)),
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
