/**
 * What a plugin's manifest asks for against what the operator grants: all of it has to be granted, nothing else is given.
 *
 * `*` in a manifest asks for whatever the operator names (a host that stands in the options); `*` in a grant is everything.
 * @module
 */
import type { PluginGrant } from "../settings/settings.ts";
import type { WorkerRights } from "./port.ts";

/** The part of a manifest that this is about. */
export interface Asked {
  readonly net: readonly string[];
  readonly read: readonly string[];
}

/** The rights, or what was asked for and is not granted. */
export type Granted =
  | { readonly rights: WorkerRights }
  | { readonly refused: string };

/** Makes paths absolute. */
type Resolve = (path: string) => string;

/** Compares. `use` names the plugin in the message. */
export function grant(use: string, asked: Asked, granted: PluginGrant, resolve: Resolve): Granted {
  const refused = [
    ...missing("net", asked.net, granted.net, (want, have) => coversHost(have, want)),
    ...missing(
      "read",
      asked.read,
      granted.read,
      (want, have) => coversPath(resolve(have), resolve(want)),
    ),
  ];
  if (refused.length > 0) {
    return {
      refused: `${use} asks in its manifest for what is not granted: ${refused.join("; ")}`,
    };
  }
  return {
    rights: {
      net: given(asked.net, granted.net, (host) => host),
      read: given(asked.read, granted.read, resolve),
    },
  };
}

function missing(
  kind: "net" | "read",
  asked: readonly string[],
  granted: readonly string[],
  covers: (want: string, have: string) => boolean,
): readonly string[] {
  const found = asked.filter((want) =>
    want === "*"
      ? granted.length === 0
      : !granted.some((have) => have === "*" || covers(want, have))
  );
  if (found.length === 0) return [];
  const list = (names: readonly string[]) => names.map((name) => `"${name}"`).join(", ");
  return [
    `${kind} = [${list(found)}], the configuration has grant.${kind} = [${list(granted)}]`,
  ];
}

function given(
  asked: readonly string[],
  granted: readonly string[],
  form: (name: string) => string,
): readonly string[] | true {
  if (!asked.includes("*")) return asked.map(form);
  return granted.includes("*") ? true : granted.map(form);
}

/** A grant without a port is for every port of its host. */
function coversHost(have: string, want: string): boolean {
  const granted = have.toLowerCase();
  const wanted = want.toLowerCase();
  return granted === wanted || !/:\d+$/.test(granted) && wanted.replace(/:\d+$/, "") === granted;
}

/** Both absolute and normal: the path itself, or the folder it is in. */
export function coversPath(have: string, want: string): boolean {
  return want === have || want.startsWith(have.endsWith("/") ? have : `${have}/`);
}
