/**
 * A plugin in a worker of its own, as the pipeline sees it: a module like any other, whose hooks answer with promises.
 *
 * Before it is started a worker without any rights is asked for its manifest and checks its options; what the manifest
 * asks for and the operator does not grant stops the start.
 * @module
 */
import type { Edge } from "../plugin/edge.ts";
import type { Manifest, Plugin, PluginExports, SchemaResult } from "../plugin/module.ts";
import type { PluginGrant, PluginSettings } from "../settings/settings.ts";
import { grant } from "./grant.ts";
import { Keeper, START_LIMIT } from "./keeper.ts";
import { Line } from "./line.ts";
import type { Workers } from "./port.ts";
import { pluginOf } from "./present.ts";
import type { GuestModule, Loaded } from "./protocol.ts";

/** What isolation needs of the program. */
export interface IsolateOptions {
  readonly workers: Workers;
  /** Where a plugin is; undefined for a bundled one. */
  readonly locate: (use: string) => string | undefined;
  /** The folder of the configuration. */
  readonly baseDir: string;
  readonly resolve: (path: string) => string;
  readonly now: () => number;
  /** Milliseconds that a worker has to answer a ping. */
  readonly patience: number;
  /** A worker broke outside of any question of a session, or an observer rejected late. */
  readonly report: (plugin: string, stage: "worker" | "on", message: string) => void;
}

/** The module, in the shape that `loadPlugins` checks. Rejects with why it cannot be used. */
export async function importIsolated(
  settings: PluginSettings & { readonly worker: PluginGrant },
  options: IsolateOptions,
): Promise<unknown> {
  const { use } = settings;
  const url = options.locate(use);
  const module: GuestModule = url === undefined ? { bundled: use } : { url };
  const probed = await probe(settings, module, url, options);
  const { manifest } = probed;
  const asked = { net: textsOf(manifest?.net), read: textsOf(manifest?.read) };
  const granted = grant(use, asked, settings.worker, options.resolve);
  if ("refused" in granted) throw new Error(granted.refused);
  const start = (edge: Edge, checked: unknown): Promise<Plugin> => {
    let authenticates = false;
    const keeper = new Keeper({
      workers: options.workers,
      order: { name: use, url },
      module,
      rights: granted.rights,
      options: checked,
      budget: settings.budget,
      baseDir: options.baseDir,
      reads: textsOf(manifest?.reads),
      edge,
      resolve: options.resolve,
      patience: options.patience,
      broke: (stage, message) =>
        // What an authenticator says outside of a hook may hold a password (R18).
        options.report(use, stage, authenticates ? message.replace(/:.*/s, ": ...") : message),
    });
    return keeper.start().then((shape) => {
      authenticates = shape.mechanisms.length > 0;
      return pluginOf(shape, keeper);
    });
  };
  return {
    default: start,
    ...(manifest === undefined ? {} : { manifest }),
    ...(probed.checked === undefined ? {} : { options: schemaOf(probed.checked) }),
  } satisfies Partial<PluginExports>;
}

interface Probed {
  readonly manifest: Manifest | undefined;
  readonly checked: SchemaResult | undefined;
}

/** Asks a worker without rights. */
async function probe(
  settings: PluginSettings,
  module: GuestModule,
  url: string | undefined,
  { workers, now }: IsolateOptions,
): Promise<Probed> {
  const line: Line = new Line(workers, {
    name: settings.use,
    url,
    rights: { net: [], read: [] },
  }, { now, heard: () => {}, ended: (why) => line.end(why) });
  const stop = workers.later(
    START_LIMIT,
    () => line.end(`It has not loaded within ${START_LIMIT} ms`),
  );
  try {
    const { manifest, factory, options } = await line.ask({ task: "load", module }) as Loaded;
    if (factory !== "function") {
      throw new TypeError(
        factory === "undefined"
          ? "It has no default export"
          : "Its default export is not a function",
      );
    }
    const checked = options === "undefined"
      ? undefined
      : await line.ask({ task: "validate", options: settings.options ?? {} }) as SchemaResult;
    return { manifest: manifest as Manifest | undefined, checked };
  } finally {
    stop();
    line.end("It has been asked");
  }
}

/** The schema stays in the worker, which has answered; the value it made stays there as well. */
function schemaOf(result: SchemaResult): NonNullable<PluginExports["options"]> {
  return {
    "~standard": {
      version: 1,
      vendor: "postern",
      validate: (value) => result.issues === undefined ? { value } : result,
    },
  };
}

function textsOf(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter((one) => typeof one === "string") : [];
}
