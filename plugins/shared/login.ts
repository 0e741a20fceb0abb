/**
 * What the authenticators that ask somebody else have in common: the guard against guessing, one text for every refusal, a
 * short memory of right passwords, and how an engine that is gone is told of.
 *
 * Never: keeps a password (the memory has a keyed digest of it, whose key ends with the process), or lets one into the log.
 * @module
 */
import type {
  Authenticator,
  Defer,
  Edge,
  HookContext,
  Identity,
  Refuse,
} from "@postern/postern/plugin";
import * as v from "valibot";
import { canonicalLogin } from "./canonical.ts";
import { guard } from "./guard.ts";
import { networks } from "./network.ts";
import { duration, whole } from "./options.ts";

/** Options of the guard, for a plugin's table; the same in every authenticator. */
export const guardEntries = {
  max_failures: v.optional(whole(1), 10),
  window: v.optional(duration(), "15m"),
  lock: v.optional(duration(), "15m"),
  exempt: v.optional(networks(), []),
};

/** The option of the memory; left out, every login is asked for. */
export const cacheEntries = { cache: v.optional(duration()) };

/** What the options above come to. */
export type LoginOptions =
  & v.InferOutput<v.ObjectSchema<typeof guardEntries, undefined>>
  & { readonly cache?: number | undefined };

/** One login to be judged. */
export interface Login {
  /** As the client gave it, but in Unicode form NFC with its domain in lower case; not empty, at most 320 characters. */
  readonly user: string;
  /** Not empty. */
  readonly password: string;
  /** `PLAIN` or `LOGIN`. */
  readonly mechanism: string;
  readonly context: HookContext;
}

/** What an engine says: the login it is known by, or that it is wrong. What else happens to it is thrown. */
export type Finding = { readonly user: string } | "wrong";

/** The engine is there and defers this login: what ails it is in its own log. */
export class NotNow extends Error {}

/** An authenticator of passwords that asks `ask`, which may throw: then the client is told to come again. */
export function passwordAuthenticator(
  edge: Edge,
  options: LoginOptions,
  ask: (login: Login) => Promise<Finding>,
): Authenticator {
  const attempt = guard(edge, options);
  const memory = options.cache === undefined ? undefined : remember(edge, options.cache);
  const health = watchHealth(edge);
  const invalid = edge.refuse(535, "5.7.8", "Authentication credentials invalid");
  const unavailable = edge.defer(454, "4.7.0", "Temporary authentication failure");

  async function judge(login: Login): Promise<Finding | undefined> {
    const known = await memory?.recall(login);
    if (known !== undefined) {
      edge.metrics.count("cache_hits");
      return { user: known };
    }
    try {
      const finding = await ask(login);
      health.well();
      if (finding !== "wrong") await memory?.learn(login, finding.user);
      return finding;
    } catch (cause) {
      edge.metrics.count("unavailable");
      // Who is cut off by the budget is told of by the host, and who is gone needs no answer.
      if (login.context.signal.aborted) return undefined;
      if (cause instanceof NotNow) edge.log.info("Login deferred", { cause: cause.message });
      else health.ill(withoutSecrets(cause, login));
      return undefined;
    }
  }

  return {
    mechanisms: ["PLAIN", "LOGIN"],
    verify({ user: given, password, mechanism }, context): Promise<Identity | Refuse | Defer> {
      const user = canonicalLogin(given) ?? "";
      const current = attempt(context.session.remote.address, likeness(user));
      return current.inTurn(context.signal, async () => {
        if (context.signal.aborted) return unavailable;
        if (await current.locked()) return invalid;
        // An empty password is an anonymous bind to a directory, and to no engine a right one.
        const impossible = user === "" || password === "";
        const finding = impossible ? "wrong" : await judge({ user, password, mechanism, context });
        if (finding === undefined) return unavailable;
        // Asked again: another source may have locked the login meanwhile.
        if (await current.locked()) return invalid;
        if (finding === "wrong") {
          edge.metrics.count("failures");
          await current.failed();
          return invalid;
        }
        await current.succeeded();
        return { user: finding.user, mechanism };
      });
    },
  };
}

/**
 * The key under which the guard counts a login. Engines differ in what they take for the same one; two that differ in case
 * or in spaces only must not be two goes at one account.
 */
function likeness(user: string): string {
  return user.normalize("NFKC").trim().replace(/\s+/gu, " ").toLowerCase();
}

interface Memory {
  recall(login: Login): Promise<string | undefined>;
  learn(login: Login, user: string): Promise<void>;
}

/** Right passwords of the last while. Wrong ones are not remembered: a changed password must work at once. */
function remember(edge: Edge, ttl: number): Memory {
  const random = crypto.getRandomValues(new Uint8Array(32));
  const key = crypto.subtle.importKey("raw", random, { name: "HMAC", hash: "SHA-256" }, false, [
    "sign",
  ]);
  // The source is a part: engines may judge by it.
  const keyOf = async ({ user, password, context: { session } }: Login): Promise<string> => {
    const secured = session.tls === undefined ? "plain" : "tls";
    const text = `${session.remote.address}\0${secured}\0${user}\0${password}`;
    const digest = await crypto.subtle.sign("HMAC", await key, new TextEncoder().encode(text));
    return `right\n${btoa(String.fromCharCode(...new Uint8Array(digest)))}`;
  };
  return {
    recall: async (login) => await edge.state.get(await keyOf(login)),
    learn: async (login, user) => await edge.state.set(await keyOf(login), user, ttl),
  };
}

/** One line when an engine goes and one when it is back, however many logins meet it. */
function watchHealth(edge: Edge): { well(): void; ill(cause: string): void } {
  let ill = false;
  return {
    well() {
      if (ill) edge.log.info("The authentication service answers again");
      ill = false;
    },
    ill(cause) {
      if (!ill) edge.log.error("No answer to a login, logins are deferred", { cause });
      ill = true;
    },
  };
}

function withoutSecrets(cause: unknown, { user, password }: Login): string {
  let message = cause instanceof Error ? cause.message : String(cause);
  for (const secret of [password, base64(password), base64(`\0${user}\0${password}`)]) {
    message = message.replaceAll(secret, "[redacted]");
  }
  return message;
}

/** Base64 of a text's UTF-8. */
export function base64(text: string): string {
  return btoa(String.fromCharCode(...new TextEncoder().encode(text)));
}
