/**
 * The shared state of the plugins, from the settings; closed at the end of the scope.
 *
 * Made in two steps: a file must belong to the user that goes on with it, so it is opened after the change of users.
 * @module
 */
import * as Effect from "effect/Effect";
import type * as Scope from "effect/Scope";
import { dirname } from "node:path";
import type { PluginState } from "../plugin/edge.ts";
import { createPrivate, ensureDir } from "../runtime/files.ts";
import { systemReason } from "../runtime/system_reason.ts";
import type { Settings } from "../settings/settings.ts";
import { memoryState } from "../state/memory.ts";
import { reasonOf, StartFailed } from "./start_failed.ts";

/** The state, and the step that makes it ready. */
export interface StateParts {
  readonly state: PluginState;
  /** Opens what there is to open; fails where it cannot be used. */
  readonly open: Effect.Effect<void, StartFailed>;
}

/** Makes the state that the settings name. */
export function makeState(
  { state: store }: Settings,
  now: () => number,
): Effect.Effect<StateParts, never, Scope.Scope> {
  const clock = { now };
  if (store.kind === "memory") {
    return Effect.succeed({ state: memoryState({ clock }), open: Effect.void });
  }
  const { path } = store;
  return Effect.gen(function* () {
    const { SqliteState } = yield* Effect.promise(() => import("../state/sqlite.ts"));
    const state = new SqliteState({ path, clock });
    yield* Effect.addFinalizer(() => Effect.sync(() => state.close()));
    const open = Effect.tryPromise({
      try: async () => {
        await ensureDir(dirname(path));
        createPrivate(path);
        state.open();
      },
      catch: (cause) => {
        const reason = systemReason(cause) ?? reasonOf(cause);
        const message = reason.startsWith("Cannot") ? reason : `Cannot open ${path}: ${reason}`;
        return new StartFailed({ because: "environment", problems: [{ path: "state", message }] });
      },
    });
    return { state, open };
  });
}
