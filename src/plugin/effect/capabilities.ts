/**
 * The edge as a service, and Effect's own log led into the plugin's.
 * @module
 */
import * as Cause from "effect/Cause";
import * as Context from "effect/Context";
import * as Layer from "effect/Layer";
import * as Logger from "effect/Logger";
import type * as LogLevel from "effect/LogLevel";
import * as References from "effect/References";
import type { Edge, LogFields, PluginLog } from "../edge.ts";

/** Which service {@linkcode Capabilities} is, for the types of Effects that need it. */
export interface Capabilities {
  /** Its key. */
  readonly service: "postern/plugin/Capabilities";
}

/** @internal */
type CapabilitiesKey = Context.Service<Capabilities, Edge>;

/** What the host gives a plugin, as a service: `const edge = yield* Capabilities`. It is there in hooks and in layers. */
export const Capabilities: CapabilitiesKey = Context.Service<Capabilities, Edge>(
  "postern/plugin/Capabilities",
);

/** The services that every plugin of this door has. */
export function capabilitiesOf(edge: Edge): Layer.Layer<Capabilities> {
  return Layer.mergeAll(
    Layer.succeed(Capabilities, edge),
    Logger.layer([loggerOf(edge.log)]),
    // The host's own level decides what is written.
    Layer.succeed(References.MinimumLogLevel, "Debug"),
  );
}

/** One event is one line, as on the plain door; annotations are its fields. */
function loggerOf(log: PluginLog): Logger.Logger<unknown, void> {
  return Logger.make(({ message, logLevel, cause, fiber }) => {
    const parts = Array.isArray(message) ? message as readonly unknown[] : [message];
    const fields: { [name: string]: LogFields[string] } = {};
    for (const [name, value] of Object.entries(fiber.getRef(References.CurrentLogAnnotations))) {
      fields[name] = typeof value === "number" || typeof value === "boolean"
        ? value
        : String(value);
    }
    if (cause.reasons.length > 0) {
      const squashed = Cause.squash(cause);
      fields["cause"] = squashed instanceof Error ? squashed.message : String(squashed);
    }
    log[levelOf(logLevel)](parts.map(String).join(" "), fields);
  });
}

function levelOf(level: LogLevel.LogLevel): keyof PluginLog {
  switch (level) {
    case "Fatal":
    case "Error":
      return "error";
    case "Warn":
      return "warn";
    case "Info":
      return "info";
    default:
      return "debug";
  }
}
