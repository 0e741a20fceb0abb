/**
 * The options of auth-oauth, and what they come to.
 *
 * Never: lets a symmetric algorithm or `none` be chosen: the keys are public.
 * @module
 */
import * as v from "valibot";
import { networks } from "../shared/network.ts";
import { duration, expected, oneOf, table, text, whole } from "../shared/options.ts";
import { secret } from "../shared/secret.ts";

/** Signatures by public keys (RFC 7518 section 3.1, RFC 8037, RFC 9864). */
const ALGORITHMS = [
  "RS256",
  "RS384",
  "RS512",
  "PS256",
  "PS384",
  "PS512",
  "ES256",
  "ES384",
  "ES512",
  "EdDSA",
  "Ed25519",
] as const;

/** One text or several. */
function texts(what: string) {
  return v.pipe(
    v.union(
      [
        text(what),
        v.pipe(v.array(text(what)), v.minLength(1, `expected ${what}, got an empty list`)),
      ],
      expected(`${what}, or a list`),
    ),
    v.transform((given) => typeof given === "string" ? [given] : given),
  );
}

/** Keys and tokens must not come from, or go to, whoever sits on the line. */
function address() {
  const message = expected("an address that begins with https:// (http:// only to this machine)");
  return v.pipe(v.string(message), v.check(isSafe, message));
}

function isSafe(given: string): boolean {
  if (!URL.canParse(given) || /\s/.test(given)) return false;
  const { protocol, hostname } = new URL(given);
  if (protocol === "https:") return true;
  return protocol === "http:" &&
    (hostname === "localhost" || hostname === "[::1]" || /^127(?:\.\d{1,3}){3}$/.test(hostname));
}

const introspection = table({
  url: address(),
  client_id: text("the name by which the server knows us"),
  client_secret: secret("the password to it"),
});

export const schema = v.pipe(
  table({
    jwks_url: v.optional(address()),
    jwks_file: v.optional(text("the path of a JWKS file")),
    introspection: v.optional(introspection),
    issuer: v.optional(text("the issuer of the tokens")),
    audience: v.optional(texts("an audience")),
    algorithms: v.optional(
      v.pipe(
        v.array(oneOf(ALGORITHMS)),
        v.minLength(1, "expected at least one algorithm, got none"),
      ),
      ["RS256", "PS256", "ES256", "EdDSA", "Ed25519"],
    ),
    clock_skew: v.optional(duration(), "1m"),
    scope: v.optional(texts("a scope")),
    claim: v.optional(text("the name of a claim")),
    timeout: v.optional(duration(), "4s"),
    jwks_max_age: v.optional(duration(), "10m"),
    jwks_cooldown: v.optional(duration(), "30s"),
    cache: v.optional(duration(), "5m"),
    negative_cache: v.optional(duration(), "30s"),
    max_failures: v.optional(whole(1), 10),
    window: v.optional(duration(), "15m"),
    lock: v.optional(duration(), "15m"),
    exempt: v.optional(networks(), []),
  }),
  v.check(
    ({ jwks_url, jwks_file, introspection }) =>
      [jwks_url, jwks_file, introspection].filter((given) => given !== undefined).length === 1,
    "expected one of jwks_url, jwks_file and introspection",
  ),
  v.check(
    // A signed token is good for whatever its issuer is trusted for, unless it says whom it is for (RFC 8725 section 3.9).
    ({ issuer, audience, introspection }) =>
      introspection !== undefined || (issuer !== undefined && audience !== undefined),
    "expected issuer and audience beside the keys",
  ),
);

/** Options, as the plugin is given them: durations in milliseconds. */
export type Options = v.InferOutput<typeof schema>;
