/**
 * The upstreams, from the settings.
 * @module
 */
import * as Effect from "effect/Effect";
import { readTextSync } from "../runtime/paths.ts";
import type { Settings } from "../settings/settings.ts";
import type { Deadlines } from "../transport/deadlines.ts";
import type { Network } from "../transport/duplex.ts";
import { Upstreams } from "../upstream/upstreams.ts";
import { reasonOf, StartFailed, type StartProblem } from "./start_failed.ts";

/** What the upstreams need of their surroundings. */
export interface UpstreamSurroundings {
  readonly network: Network;
  readonly deadlines: Deadlines;
  readonly now: () => number;
}

/** Makes the upstreams; nothing is connected yet. Fails where trust anchors cannot be read, with all of them. */
export function makeUpstreams(
  settings: Settings,
  { network, deadlines, now }: UpstreamSurroundings,
): Effect.Effect<Upstreams, StartFailed> {
  const problems: StartProblem[] = [];
  const anchors = new Map<string, string>();
  for (const { name, ca } of settings.upstreams) {
    if (ca === undefined) continue;
    try {
      anchors.set(name, readTextSync(ca));
    } catch (cause) {
      problems.push({
        path: `upstreams.${name}.ca`,
        message: `Cannot read trust anchors: ${reasonOf(cause)}`,
      });
    }
  }
  return problems.length > 0
    ? Effect.fail(new StartFailed({ because: "configuration", problems }))
    : Effect.succeed(
      new Upstreams({
        settings,
        network,
        deadlines,
        now,
        trustAnchors: ({ name }) => anchors.get(name),
      }),
    );
}
