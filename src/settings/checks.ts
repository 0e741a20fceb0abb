/**
 * Checks that need more than one key at a time, or more than a kind: addresses, names that must exist, settings that
 * contradict each other, what this version cannot do yet.
 *
 * Owns: their messages.   Never: stops at the first problem; trusts that the value is valid (the schema's problems are reported
 * beside these, so parts that have the wrong kind are passed over).
 * @module
 */
import {
  isLoopback,
  isWrong,
  type ListenAddress,
  parseListen,
  parseServer,
  type Wrong,
} from "./address.ts";
import { NAME_PATTERN } from "./fields.ts";
import { nearest } from "./nearest.ts";
import { formatPath, type Path, quote, type Report } from "./problem.ts";
import type { ServerSettings } from "./settings.ts";
import { isTable, type Table } from "./walk.ts";

/** What the checks work with. */
export interface CheckContext {
  /** Where problems go. */
  readonly report: Report;
  /** Shows a value, or its kind where it is a secret. */
  readonly show: (value: unknown, path: Path) => string;
  /** Folder that relative paths are relative to. */
  readonly baseDir: string;
}

/** Modes of configuration.md that a later version will take. */
const LATER_MODES: readonly string[] = ["spool", "inline-then-spool"];

/** Name of a listener that was given none; `position` counts from 0. */
export function listenerName(name: unknown, position: number): string {
  return typeof name === "string" ? name : `listener-${position + 1}`;
}

/** Reports every problem and warning of a configuration with its defaults filled in. */
export function check(root: unknown, context: CheckContext): void {
  const config = tableOf(root);
  const { report } = context;
  if (typeof config.workers === "number" && config.workers > 1) {
    report.problem(["workers"], `not in this version: ${config.workers}; use workers = 1`);
  }
  if (config.admin !== undefined) {
    report.warning(["admin"], "has no effect in this version: nothing listens there");
  }
  if (config.group !== undefined && config.user === undefined) {
    report.problem(["group"], "needs user");
  }
  const listeners = listOf(config.listeners).map(tableOf);
  const names = listeners.map((listener, position) => listenerName(listener.name, position));
  checkListeners(config, listeners, names, context);
  for (const [name, upstream] of Object.entries(tableOf(config.upstreams))) {
    checkUpstream(["upstreams", name], tableOf(upstream), context);
  }
  checkRoutes(config, listeners, names, context);
  if (config.quarantine !== undefined && !report.isMisspelt(["upstreams"])) {
    const known = Object.keys(tableOf(config.upstreams));
    checkNames([config.quarantine], known, "upstream", ["quarantine"], context);
  }
  const plugins = listOf(config.plugins).map(tableOf);
  for (const [position, plugin] of plugins.entries()) {
    checkNames(plugin.listeners, names, "listener", ["plugins", position, "listeners"], context);
    checkPlugin(plugin, plugins, config.received === true, ["plugins", position], context);
  }
  checkLogins(listeners, names, plugins, context);
}

function checkListeners(
  config: Table,
  listeners: readonly Table[],
  names: readonly string[],
  context: CheckContext,
): void {
  const { report } = context;
  if (Array.isArray(config.listeners) && listeners.length === 0) {
    report.problem(["listeners"], "no listener: add [[listeners]] with a listen address");
  }
  const addresses = new Map<string, string>();
  const takers = new Map<string, string>();
  for (const [position, listener] of listeners.entries()) {
    const path = ["listeners", position];
    const name = names[position]!;
    const taker = takers.get(name);
    if (taker === undefined) takers.set(name, formatPath(path));
    else report.problem([...path, "name"], `the name ${quote(name)} is taken by ${taker}`);
    checkListen([...path, "listen"], listener.listen, addresses, context);
    if (listener.tls !== "none") continue;
    if (listener.auth !== "off" && listener.auth_plaintext_loopback !== true) {
      report.problem(
        [...path, "auth"],
        'AUTH is taken under TLS only, and this listener has tls = "none"; use "starttls" or "implicit", ' +
          "or auth_plaintext_loopback = true",
      );
    }
    if (listener.require_tls === true) {
      report.problem([...path, "require_tls"], 'this listener has tls = "none"');
    }
    if (listener.client_certificate !== "none") {
      report.problem([...path, "client_certificate"], 'this listener has tls = "none"');
    }
  }
  const admin = tableOf(config.admin);
  const path = ["admin", "listen"];
  const address = checkListen(path, admin.listen, addresses, context);
  if (address && "path" in address) {
    report.problem(path, `expected "host:port", got ${context.show(admin.listen, path)}`);
  }
}

function checkListen(
  path: Path,
  text: unknown,
  addresses: Map<string, string>,
  context: CheckContext,
): ListenAddress | undefined {
  if (typeof text !== "string") return undefined;
  const address = parseListen(text, context.baseDir);
  if (isWrong(address)) {
    reportWrong(path, text, address, context);
    return undefined;
  }
  if ("port" in address && address.port === 0) return address;
  const key = "path" in address ? address.path : `${address.host.toLowerCase()} ${address.port}`;
  const taker = addresses.get(key);
  if (taker === undefined) addresses.set(key, formatPath(path));
  else context.report.problem(path, `${context.show(text, path)} is taken by ${taker}`);
  return address;
}

function checkUpstream(path: Path, upstream: Table, context: CheckContext): void {
  const { report } = context;
  const texts = listOf(upstream.servers);
  const servers = texts.map((text, position) =>
    checkServer([...path, "servers", position], text, context)
  );
  for (const [position, server] of servers.entries()) {
    if (server?.kind === "maildir" && texts.length > 1) {
      report.problem(
        [...path, "servers", position],
        "a maildir must be the only server of its upstream",
      );
    }
  }
  if (typeof upstream.mode === "string" && LATER_MODES.includes(upstream.mode)) {
    report.problem(
      [...path, "mode"],
      `not in this version: "${upstream.mode}"; use mode = "inline"`,
    );
  }
  const enforced = upstream.tls === "require" || upstream.tls === "verify";
  if (typeof upstream.fingerprint === "string" && !enforced) {
    report.problem([...path, "fingerprint"], 'needs tls = "require" or "verify"');
  }
  if (typeof upstream.ca === "string" && upstream.tls !== "verify") {
    report.warning([...path, "ca"], 'has no effect without tls = "verify"');
  }
  const exposed = servers.some((server) =>
    server?.kind === "smtp" && !server.implicitTls && !isLoopback(server.host)
  );
  if (isTable(upstream.auth) && upstream.tls === "none" && exposed) {
    report.warning([...path, "auth"], 'the password crosses the network in clear: tls = "none"');
  }
}

function checkServer(path: Path, text: unknown, context: CheckContext): ServerSettings | undefined {
  if (typeof text !== "string") return undefined;
  const server = parseServer(text, context.baseDir);
  if (!isWrong(server)) return server;
  reportWrong(path, text, server, context);
  return undefined;
}

function checkRoutes(
  config: Table,
  listeners: readonly Table[],
  names: readonly string[],
  context: CheckContext,
): void {
  const { report } = context;
  const upstreams = Object.keys(tableOf(config.upstreams));
  const closed = new Set(
    names.filter((_, position) => listeners[position]!.auth === "required"),
  );
  let catchAll = false;
  const routes = listOf(config.routes);
  for (const [position, item] of routes.entries()) {
    const route = tableOf(item);
    const path = ["routes", position];
    checkNames(
      typeof route.upstream === "string" && !report.isMisspelt(["upstreams"])
        ? [route.upstream]
        : [],
      upstreams,
      "upstream",
      [...path, "upstream"],
      context,
    );
    checkNames(route.listeners, names, "listener", [...path, "listeners"], context);
    if (catchAll) report.warning(path, "never used: an earlier route takes every recipient");
    if (route.to !== undefined || route.authenticated === true) continue;
    const reached = route.listeners === undefined ? names : listOf(route.listeners);
    if (reached.some((name) => typeof name === "string" && !closed.has(name))) {
      report.warning(
        path,
        "takes every recipient from clients that have not authenticated: an open relay, unless the upstream refuses",
      );
    }
    catchAll ||= route.authenticated === undefined && route.listeners === undefined;
  }
  if (Array.isArray(config.routes) && routes.length === 0) {
    report.warning(["routes"], "no route: every recipient gets 550 5.7.1");
  }
}

function checkPlugin(
  plugin: Table,
  plugins: readonly Table[],
  received: boolean,
  path: Path,
  context: CheckContext,
): void {
  const { report } = context;
  if (typeof plugin.percent === "number" && plugin.percent !== 100 && plugin.mode !== "enforce") {
    report.warning([...path, "percent"], 'has no effect without mode = "enforce"');
  }
  if (plugin.watch === true && typeof plugin.use === "string" && !/^[./]/.test(plugin.use)) {
    report.warning([...path, "watch"], "has no effect: only a file can change");
  }
  if (plugin.grant !== undefined && plugin.isolation !== "worker") {
    report.problem([...path, "grant"], 'needs isolation = "worker"');
  }
  const known = plugins.map(({ use }) => use).filter((use) => typeof use === "string");
  if (received) known.push("received");
  for (const key of ["after", "before"]) {
    for (const [position, use] of listOf(plugin[key]).entries()) {
      if (typeof use !== "string") continue;
      const here = [...path, key, position];
      if (use === plugin.use) report.problem(here, `a plugin does not stand ${key} itself`);
      else if (!known.includes(use)) {
        const meant = nearest(use, known);
        report.problem(
          here,
          `there is no plugin ${context.show(use, here)}` +
            (meant === undefined ? "" : `; did you mean ${quote(meant)}?`),
        );
      }
    }
  }
}

function checkLogins(
  listeners: readonly Table[],
  names: readonly string[],
  plugins: readonly Table[],
  context: CheckContext,
): void {
  for (const [position, listener] of listeners.entries()) {
    if (listener.auth !== "optional" && listener.auth !== "required") continue;
    const asked = plugins.some((plugin) =>
      plugin.mode !== "off" &&
      (plugin.listeners === undefined || listOf(plugin.listeners).includes(names[position]))
    );
    if (!asked) {
      context.report.warning(
        ["listeners", position, "auth"],
        "no plugin could check a password here: every login will fail",
      );
    }
  }
}

/** Each name must be one of the known ones; `path` is the list's, or the one name's own. */
function checkNames(
  wanted: unknown,
  known: readonly string[],
  what: string,
  path: Path,
  context: CheckContext,
): void {
  for (const [position, name] of listOf(wanted).entries()) {
    if (typeof name !== "string" || known.includes(name)) continue;
    const here = what === "listener" ? [...path, position] : path;
    const meant = nearest(name, known.filter((candidate) => NAME_PATTERN.test(candidate)));
    context.report.problem(
      here,
      `there is no ${what} ${context.show(name, here)}` +
        (meant === undefined ? "" : `; did you mean "${meant}"?`),
    );
  }
}

function reportWrong(path: Path, text: string, wrong: Wrong, context: CheckContext): void {
  context.report.problem(
    path,
    wrong.message ?? `expected ${wrong.expected}, got ${context.show(text, path)}`,
  );
}

function tableOf(value: unknown): Table {
  return isTable(value) ? value : NOTHING;
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

/** No key is found in it, not even those every object has (R34). */
const NOTHING: Table = Object.freeze(Object.create(null));
