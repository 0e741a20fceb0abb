/**
 * Asks the authorization server what a token is (RFC 7662). Answers are remembered for a while, never longer than the
 * token is good for, under a keyed digest: no store holds a token.
 * @module
 */
import type { Edge } from "@postern/postern/plugin";
import { readSecret, type Secret } from "../shared/secret.ts";
import { type Claims, type Demands, isFor, judge, type Judged, own } from "./claims.ts";
import { fetchJson } from "./http.ts";

/** How to ask, and what to make of the answer. */
export interface IntrospectionOptions {
  readonly introspection: {
    readonly url: string;
    readonly client_id: string;
    readonly client_secret: Secret;
  };
  readonly issuer?: string | undefined;
  readonly audience?: readonly string[] | undefined;
  readonly clock_skew: number;
  readonly timeout: number;
  readonly cache: number;
  readonly negative_cache: number;
}

/** `inactive`: nobody's token; a guess looks like it. */
export type Introspected = Judged | "inactive";

/** Makes the question. Rejects where the secret cannot be read; what it gives rejects where the server cannot be asked. */
export async function introspector(
  edge: Edge,
  options: IntrospectionOptions,
  demands: Demands,
): Promise<(token: string) => Promise<Introspected>> {
  const { url, client_id: id, client_secret } = options.introspection;
  const password = await readSecret(edge, client_secret);
  // RFC 6749 section 2.3.1: both are form-encoded first.
  const authorization = `Basic ${btoa(`${form(id)}:${form(password)}`)}`;
  const digest = await keyedDigest();

  async function ask(token: string): Promise<Claims> {
    return await fetchJson(url, options.timeout, {
      method: "POST",
      headers: { authorization, "content-type": "application/x-www-form-urlencoded" },
      body: `token=${form(token)}&token_type_hint=access_token`,
    });
  }

  return async (token) => {
    const key = `token\n${await digest(token)}`;
    const known = await edge.state.get(key);
    if (known !== undefined) {
      edge.metrics.count("cache_hits");
      return JSON.parse(known) as Introspected;
    }
    const claims = await ask(token);
    if (typeof claims["active"] !== "boolean") {
      throw new Error("The authorization server's answer does not say whether the token is active");
    }
    const now = edge.clock.now();
    const answer = claims["active"] ? verdict(claims, options, demands, now) : "inactive";
    const expiry = own(claims, "exp");
    const left = typeof expiry === "number" ? expiry * 1000 - now : Infinity;
    const ttl = typeof answer === "object" && "login" in answer
      ? Math.min(options.cache, left)
      : options.negative_cache;
    if (ttl > 0) await edge.state.set(key, JSON.stringify(answer), ttl);
    return answer;
  };
}

function verdict(
  claims: Claims,
  { issuer, audience, clock_skew: skew }: IntrospectionOptions,
  demands: Demands,
  now: number,
): Judged {
  const expiry = own(claims, "exp");
  const begin = own(claims, "nbf");
  if (typeof expiry === "number" && expiry * 1000 + skew <= now) return { refused: "expired" };
  if (typeof begin === "number" && begin * 1000 - skew > now) return { refused: "not yet valid" };
  if (issuer !== undefined && own(claims, "iss") !== issuer) return { refused: "another issuer" };
  if (audience !== undefined && !isFor(claims, audience)) return { refused: "another audience" };
  return judge(claims, demands);
}

function form(text: string): string {
  return new URLSearchParams([["", text]]).toString().slice(1);
}

async function keyedDigest(): Promise<(text: string) => Promise<string>> {
  const random = crypto.getRandomValues(new Uint8Array(32));
  const key = await crypto.subtle.importKey(
    "raw",
    random,
    { name: "HMAC", hash: "SHA-256" },
    false,
    ["sign"],
  );
  return async (text) => {
    const octets = await crypto.subtle.sign("HMAC", key, new TextEncoder().encode(text));
    return btoa(String.fromCharCode(...new Uint8Array(octets)));
  };
}
