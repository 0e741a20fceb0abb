/**
 * Which upstream a recipient goes to: the first route that matches. A recipient without a route is not relayed (R19): there
 * is no default.
 * @module
 */
import type { RouteSettings } from "../settings/settings.ts";

/** What a route looks at. */
export interface RouteQuestion {
  /** Lower case; `""` for a bare `<postmaster>`. */
  readonly domain: string;
  readonly listener: string;
  readonly authenticated: boolean;
}

interface CompiledRoute {
  readonly exact: ReadonlySet<string> | undefined;
  readonly suffixes: ReadonlySet<string>;
  readonly authenticated: boolean | undefined;
  readonly listeners: readonly string[] | undefined;
  readonly upstream: string;
}

/** The route table, made once. */
export class Routes {
  readonly #routes: readonly CompiledRoute[];
  readonly #hostname: string;

  constructor(routes: readonly RouteSettings[], hostname: string) {
    this.#hostname = hostname.toLowerCase();
    this.#routes = routes.map((route) => ({
      exact: route.to && new Set(route.to.filter((d) => !d.startsWith("*."))),
      suffixes: new Set((route.to ?? []).filter((d) => d.startsWith("*.")).map((d) => d.slice(2))),
      authenticated: route.authenticated,
      listeners: route.listeners,
      upstream: route.upstream,
    }));
  }

  /** Name of the upstream; undefined: this recipient is not relayed. */
  find(question: RouteQuestion): string | undefined {
    if (question.domain !== "") return this.#match(question, question.domain)?.upstream;
    // RFC 5321 section 4.5.1: a bare postmaster is always ours; where the host name has no route, the first local one has it.
    return (this.#match(question, this.#hostname) ??
      this.#routes.find((route) => route.exact !== undefined && allowed(route, question)))
      ?.upstream;
  }

  /** Upstreams that clients of a listener can reach. */
  reachable(listener: string): ReadonlySet<string> {
    return new Set(
      this.#routes.filter((r) => r.listeners === undefined || r.listeners.includes(listener))
        .map((r) => r.upstream),
    );
  }

  #match(question: RouteQuestion, domain: string): CompiledRoute | undefined {
    return this.#routes.find((route) => allowed(route, question) && covers(route, domain));
  }
}

function allowed(route: CompiledRoute, question: RouteQuestion): boolean {
  return (route.authenticated === undefined || route.authenticated === question.authenticated) &&
    (route.listeners === undefined || route.listeners.includes(question.listener));
}

function covers(route: CompiledRoute, domain: string): boolean {
  if (route.exact === undefined || route.exact.has(domain)) return true;
  if (route.suffixes.size === 0) return false;
  for (let dot = domain.indexOf("."); dot >= 0; dot = domain.indexOf(".", dot + 1)) {
    if (route.suffixes.has(domain.slice(dot + 1))) return true;
  }
  return false;
}
