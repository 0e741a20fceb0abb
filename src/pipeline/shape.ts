/**
 * What a plugin's factory gave, checked and copied: a mistyped hook must stop the start, not be passed over (R39).
 * @module
 */
import type { Authenticator, BodyHooks, Hooks, Observers, Plugin } from "../plugin/module.ts";
import { escapeText } from "./text.ts";

/** The instance, or what is wrong with it. */
export type Shaped = { readonly plugin: Plugin } | { readonly wrong: readonly string[] };

type Raw = { readonly [key: string]: unknown };
// deno-lint-ignore ban-types
type Anything = Function;

const NAME = /^[a-z0-9-]{1,64}$/;
const PLAIN_HOOKS = [
  "connect",
  "helo",
  "mail",
  "rcpt",
  "data",
  "header",
  "end",
  "reply",
] as const;
const HOOKS = [...PLAIN_HOOKS, "auth", "body", "on"];
const BODY = ["transform", "flush", "observe", "scan"];
const OBSERVERS = [
  "opened",
  "closed",
  "delivered",
  "refused",
  "errorReply",
  "loginFailed",
  "reloaded",
];

function isRecord(value: unknown): value is Raw {
  return typeof value === "object" && value !== null;
}

/** Checks and copies. What a hostile object throws goes through. */
export function shapeOf(value: unknown): Shaped {
  if (!isRecord(value)) return { wrong: ["The plugin function must return an object"] };
  const wrong: string[] = [];
  const { name, onError, hooks, holdBody, close } = value;
  if (typeof name !== "string" || !NAME.test(name)) {
    wrong.push("The plugin's name must consist of a-z, 0-9 and -");
  }
  if (
    onError !== undefined && onError !== "pass" && onError !== "tempfail" && onError !== "refuse"
  ) {
    wrong.push('The plugin\'s onError must be "pass", "tempfail" or "refuse"');
  }
  if (holdBody !== undefined && typeof holdBody !== "boolean") {
    wrong.push("The plugin's holdBody must be true or false");
  }
  if (close !== undefined && typeof close !== "function") {
    wrong.push("The plugin's close must be a function");
  }
  if (!isRecord(hooks)) return { wrong: [...wrong, "The plugin's hooks must be an object"] };
  const copy = hooksOf(hooks, wrong);
  if (wrong.length > 0) return { wrong };
  const plugin = {
    name,
    hooks: copy,
    ...(onError === undefined ? {} : { onError }),
    ...(holdBody === undefined ? {} : { holdBody }),
    ...(close === undefined ? {} : { close: (close as Anything).bind(value) }),
  };
  return { plugin: plugin as Plugin };
}

function hooksOf(hooks: Raw, wrong: string[]): Hooks {
  const copy = functionsOf(hooks, "hooks", PLAIN_HOOKS, HOOKS, wrong);
  const auth = authOf(hooks["auth"], wrong);
  const body = groupOf(hooks["body"], "hooks.body", BODY, wrong);
  const on = groupOf(hooks["on"], "hooks.on", OBSERVERS, wrong);
  return {
    ...copy as Hooks,
    ...(auth === undefined ? {} : { auth }),
    ...(body === undefined ? {} : { body: body as BodyHooks }),
    ...(on === undefined ? {} : { on: on as Observers }),
  };
}

function groupOf(
  value: unknown,
  where: string,
  names: readonly string[],
  wrong: string[],
): { readonly [name: string]: Anything } | undefined {
  if (value === undefined) return undefined;
  if (!isRecord(value)) {
    wrong.push(`${where} must be an object`);
    return undefined;
  }
  const group = functionsOf(value, where, names, names, wrong);
  return Object.keys(group).length === 0 ? undefined : group;
}

/** Functions by name, bound to their object; a name that is none of `known` is a mistake. */
function functionsOf(
  value: Raw,
  where: string,
  names: readonly string[],
  known: readonly string[],
  wrong: string[],
): { readonly [name: string]: Anything } {
  const found: { [name: string]: Anything } = {};
  for (const name of names) {
    const member = value[name];
    if (member === undefined) continue;
    if (typeof member === "function") found[name] = member.bind(value);
    else wrong.push(`${where}.${name} must be a function`);
  }
  for (const name of Object.keys(value)) {
    if (known.includes(name)) continue;
    wrong.push(`${where}.${escapeText(name, 64)} is unknown: there are ${known.join(", ")}`);
  }
  return found;
}

/** Functions that a mechanism needs, by mechanism. */
const MECHANISMS: ReadonlyMap<unknown, readonly string[]> = new Map([
  ["PLAIN", ["verify"]],
  ["LOGIN", ["verify"]],
  ["SCRAM-SHA-256", ["scram", "scramChecked"]],
  ["XOAUTH2", ["token"]],
  ["OAUTHBEARER", ["token"]],
  ["EXTERNAL", ["certificate"]],
]);

function authOf(value: unknown, wrong: string[]): Authenticator | undefined {
  if (value === undefined) return undefined;
  const mechanisms = isRecord(value) ? value["mechanisms"] : undefined;
  if (
    !isRecord(value) || !Array.isArray(mechanisms) || mechanisms.length === 0 ||
    !mechanisms.every((name) => MECHANISMS.has(name))
  ) {
    wrong.push(`hooks.auth.mechanisms must list some of ${[...MECHANISMS.keys()].join(", ")}`);
    return undefined;
  }
  const needed = new Set(mechanisms.flatMap((name) => MECHANISMS.get(name) ?? []));
  const found: { [name: string]: Anything } = {};
  for (const name of needed) {
    const member = value[name];
    if (typeof member === "function") found[name] = member.bind(value);
    else wrong.push(`hooks.auth.${name} must be a function`);
  }
  return { mechanisms: [...mechanisms], ...found };
}
