/**
 * What a token must say: for whom it is, what it allows, who it is that it names. The same for claims of a JWT (RFC 7519)
 * and for an introspection's answer (RFC 7662), which has the same names.
 * @module
 */
import { canonicalLogin } from "../shared/canonical.ts";

/** Claims by name. */
export type Claims = Readonly<Record<string, unknown>>;

/** The login that a token names, or why it names none; the reason is for the log. */
export type Judged = { readonly login: string } | { readonly refused: string };

/** What is demanded. */
export interface Demands {
  readonly scope: readonly string[];
  readonly claim: string;
}

/** Judges claims whose truth is established. */
export function judge(claims: Claims, { scope, claim }: Demands): Judged {
  // Bound to a key of the client's (RFC 9449, RFC 8705): whoever else shows it has stolen it, and we cannot tell.
  if (own(claims, "cnf") !== undefined) return { refused: "bound to a key" };
  const has = scopesOf(claims);
  if (!scope.every((name) => has.has(name))) return { refused: "lacks a scope" };
  const named = own(claims, claim);
  const login = typeof named === "string" ? canonicalLogin(named) : undefined;
  if (login === undefined || /[\x00-\x1f\x7f]/.test(login)) return { refused: "names nobody" };
  // Anybody may have claimed an address that its provider has not verified (OpenID Connect Core section 5.7).
  if (claim === "email" && isFalse(own(claims, "email_verified"))) {
    return { refused: "its address is not verified" };
  }
  return { login };
}

/** Whether one of the wanted audiences is among those of a token. */
export function isFor(claims: Claims, audience: readonly string[]): boolean {
  const given = own(claims, "aud");
  const all: readonly unknown[] = Array.isArray(given) ? given : [given];
  return audience.some((one) => all.includes(one));
}

/** A claim, unless it is one that every object has (R34). */
export function own(claims: Claims, name: string): unknown {
  return Object.hasOwn(claims, name) ? claims[name] : undefined;
}

/** `scope` is one text (RFC 8693 section 4.2); some issuers have a list, and some call it `scp`. */
function scopesOf(claims: Claims): ReadonlySet<unknown> {
  const given = own(claims, "scope") ?? own(claims, "scp");
  return new Set(typeof given === "string" ? given.split(" ") : Array.isArray(given) ? given : []);
}

function isFalse(value: unknown): boolean {
  return value === false || value === "false";
}
