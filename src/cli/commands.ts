/**
 * Which file runs which command. Each is loaded on demand: a command pays for its own imports only.
 * @module
 */
import type { CommandSpec } from "./args.ts";
import type { Run } from "./io.ts";
import * as specs from "./specs.ts";

/** A command with its code. */
export interface Command {
  readonly spec: CommandSpec;
  readonly load: () => Promise<Run<CommandSpec>>;
}

function command<const S extends CommandSpec>(
  spec: S,
  load: () => Promise<{ readonly run: Run<S> }>,
): Command {
  // The parser makes the input from the same `spec`, which is what the narrower type says.
  return { spec, load: async () => (await load()).run as unknown as Run<CommandSpec> };
}

/** By name. */
export const COMMANDS: ReadonlyMap<string, Command> = new Map(
  [
    command(specs.serveSpec, () => import("./serve.ts")),
    command(specs.checkSpec, () => import("./check.ts")),
    command(specs.initSpec, () => import("./init.ts")),
    command(specs.demoSpec, () => import("./demo.ts")),
    command(specs.sendSpec, () => import("./send.ts")),
    command(specs.explainSpec, () => import("./explain.ts")),
    command(specs.userAddSpec, () => import("./user/add.ts")),
    command(specs.userRemoveSpec, () => import("./user/remove.ts")),
    command(specs.userListSpec, () => import("./user/list.ts")),
    command(specs.pluginNewSpec, () => import("./plugin/new.ts")),
    command(specs.pluginTestSpec, () => import("./plugin/run_tests.ts")),
    command(specs.pluginCheckSpec, () => import("./plugin/check.ts")),
    command(specs.learnHamSpec, () => import("./learn/ham.ts")),
    command(specs.learnSpamSpec, () => import("./learn/spam.ts")),
    command(specs.learnForgetSpec, () => import("./learn/forget.ts")),
    command(specs.learnMergeSpec, () => import("./learn/merge.ts")),
    command(specs.schemaSpec, () => import("./schema.ts")),
    command(specs.versionSpec, () => import("./version.ts")),
    command(specs.helpSpec, () => import("./help_command.ts")),
  ].map((entry) => [entry.spec.name, entry]),
);
