/**
 * The order in which plugins are asked: that of the configuration, but who reads a note stands behind all who give it.
 * Stable: of those that may be next, the one written first is next.
 * @module
 */
import type { Manifest } from "../plugin/module.ts";

/** Something wrong with one `[[plugins]]` entry; the command line shows it with file, line and column. */
export interface Problem {
  /** Dotted path in the configuration: `plugins[2].options.rules[0].limit`. */
  readonly pluginPath: string;
  readonly message: string;
}

interface Orderable {
  readonly settings: { readonly use: string; readonly path: string };
  readonly exports: { readonly manifest?: Manifest };
}

/** The plugins in order, or what stands against it. */
export function orderPlugins<P extends Orderable>(
  plugins: readonly P[],
): { readonly ordered: readonly P[]; readonly problems: readonly Problem[] } {
  const givers = new Map<string, number[]>();
  plugins.forEach(({ exports }, i) => {
    for (const note of exports.manifest?.gives ?? []) {
      const of = givers.get(note);
      if (of === undefined) givers.set(note, [i]);
      else of.push(i);
    }
  });

  const problems: Problem[] = [];
  const behind = plugins.map(({ exports, settings }, i) => {
    const before = new Set<number>();
    for (const note of exports.manifest?.reads ?? []) {
      const from = givers.get(note);
      if (from === undefined) {
        problems.push({
          pluginPath: settings.path,
          message: `${settings.use} reads the note "${note}", which no plugin gives`,
        });
      }
      for (const giver of from ?? []) if (giver !== i) before.add(giver);
    }
    return before;
  });

  const ordered: P[] = [];
  const waiting = new Set(plugins.keys());
  while (waiting.size > 0) {
    const next = first(waiting, (i) => !first(behind[i]!, (giver) => waiting.has(giver)));
    if (next === undefined) {
      problems.push(cycle(plugins, behind, waiting));
      break;
    }
    waiting.delete(next.value);
    ordered.push(plugins[next.value]!);
  }
  return { ordered, problems };
}

function first(of: Iterable<number>, test: (i: number) => boolean): { value: number } | undefined {
  for (const value of of) if (test(value)) return { value };
  return undefined;
}

/** Walks from a plugin that waits to one it waits for until one comes again: that is the cycle. */
function cycle(
  plugins: readonly Orderable[],
  behind: readonly ReadonlySet<number>[],
  waiting: ReadonlySet<number>,
): Problem {
  const walk: number[] = [];
  let at = [...waiting][0]!;
  while (!walk.includes(at)) {
    walk.push(at);
    at = first(behind[at]!, (giver) => waiting.has(giver))!.value;
  }
  const round = walk.slice(walk.indexOf(at));
  const names = round.map((i) => `${plugins[i]!.settings.use} (${plugins[i]!.settings.path})`);
  return {
    pluginPath: plugins[round[0]!]!.settings.path,
    message: `Plugins read each other's notes in a circle: ${
      names.join(" reads from ")
    } reads from ${names[0]}`,
  };
}
