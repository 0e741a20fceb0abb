/**
 * The order in which plugins are asked: that of the configuration, but who reads a note stands behind all who give it, and
 * `after` and `before` are kept. Stable: of those that may be next, the one written first is next.
 *
 * Also tells who has to wait for whom: plugins that do not are asked side by side.
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
  readonly settings: {
    readonly use: string;
    readonly path: string;
    readonly listeners?: readonly string[] | undefined;
    readonly after?: readonly string[] | undefined;
    readonly before?: readonly string[] | undefined;
  };
  readonly exports: { readonly manifest?: Manifest };
}

/** An order, or what stands against it. */
export interface Ordered<P> {
  readonly ordered: readonly P[];
  /** Those that a plugin has to wait for, directly or not. */
  readonly behind: ReadonlyMap<P, ReadonlySet<P>>;
  readonly problems: readonly Problem[];
}

/** The note that every plugin gives: the points of the transaction. Who reads it waits for all before it. */
export const SCORE = "score";

/** For each plugin, by number: whom it stands behind, and why. */
type Relations = readonly ReadonlyMap<number, string>[];

/** The plugins in order, or what stands against it. */
export function orderPlugins<P extends Orderable>(plugins: readonly P[]): Ordered<P> {
  const problems: Problem[] = [];
  const relations = relationsOf(plugins, problems);
  const ordered: P[] = [];
  const behind = new Map<P, Set<P>>();
  const waiting = new Set(plugins.keys());
  while (waiting.size > 0) {
    const next = first(waiting, (i) => !first(relations[i]!.keys(), (other) => waiting.has(other)));
    if (next === undefined) {
      problems.push(circle(plugins, relations, waiting));
      break;
    }
    waiting.delete(next.value);
    const plugin = plugins[next.value]!;
    ordered.push(plugin);
    const all = new Set<P>();
    for (const other of relations[next.value]!.keys()) {
      all.add(plugins[other]!);
      for (const further of behind.get(plugins[other]!)!) all.add(further);
    }
    behind.set(plugin, all);
  }
  return { ordered, behind, problems };
}

function relationsOf(plugins: readonly Orderable[], problems: Problem[]): Relations {
  const relations = plugins.map(() => new Map<number, string>());
  const relate = (later: number, earlier: number, why: string): void => {
    if (later !== earlier && !relations[later]!.has(earlier)) relations[later]!.set(earlier, why);
  };
  plugins.forEach((reader, i) => {
    for (const note of reader.exports.manifest?.reads ?? []) {
      const givers = [...plugins.keys()].filter((j) =>
        plugins[j]!.exports.manifest?.gives?.includes(note) === true
      );
      const problem = unread(reader, note, givers.map((j) => plugins[j]!));
      if (problem !== undefined) problems.push(problem);
      for (const giver of givers) relate(i, giver, `reads the note "${note}" of`);
    }
    for (const use of reader.settings.after ?? []) {
      for (const j of named(plugins, use)) relate(i, j, "has to stand after");
    }
    for (const use of reader.settings.before ?? []) {
      for (const j of named(plugins, use)) relate(j, i, "has to stand after");
    }
  });
  return relations;
}

function named(plugins: readonly Orderable[], use: string): readonly number[] {
  return [...plugins.keys()].filter((i) => plugins[i]!.settings.use === use);
}

/** A note that can never be there. */
function unread(
  { settings: { use, path, listeners } }: Orderable,
  note: string,
  givers: readonly Orderable[],
): Problem | undefined {
  const [giver] = givers;
  if (giver === undefined) {
    return note === SCORE
      ? undefined
      : { pluginPath: path, message: `${use} reads the note "${note}", which no plugin gives` };
  }
  const meets = ({ settings }: Orderable): boolean =>
    listeners === undefined || settings.listeners === undefined ||
    settings.listeners.some((name) => listeners.includes(name));
  return givers.some(meets) ? undefined : {
    pluginPath: path,
    message: `${use} reads the note "${note}", which ${giver.settings.use} ` +
      `(${giver.settings.path}) gives, but they share no listener`,
  };
}

function first(of: Iterable<number>, test: (i: number) => boolean): { value: number } | undefined {
  for (const value of of) if (test(value)) return { value };
  return undefined;
}

/** Walks from a plugin that waits to one it waits for until one comes again: that is the circle. */
function circle(
  plugins: readonly Orderable[],
  relations: Relations,
  waiting: ReadonlySet<number>,
): Problem {
  const walk: number[] = [];
  let at = [...waiting][0]!;
  while (!walk.includes(at)) {
    walk.push(at);
    at = first(relations[at]!.keys(), (other) => waiting.has(other))!.value;
  }
  const round = walk.slice(walk.indexOf(at));
  const name = (i: number) => `${plugins[i]!.settings.use} (${plugins[i]!.settings.path})`;
  const steps = round.map((i, n) => {
    const next = round[(n + 1) % round.length]!;
    return `${n === 0 ? name(i) : "which"} ${relations[i]!.get(next)!} ${name(next)}`;
  });
  return {
    pluginPath: plugins[round[0]!]!.settings.path,
    message: `Plugins wait for each other in a circle: ${steps.join(", ")}`,
  };
}
