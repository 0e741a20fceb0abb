/**
 * Authenticators: asked in order, until one knows the identity or refuses. A password never reaches a report (R18).
 * @module
 */
import * as Effect from "effect/Effect";
import type { Identity } from "../plugin/facts.ts";
import type { Authenticator, Credentials } from "../plugin/module.ts";
import type { Defer, Refuse } from "../plugin/verdict.ts";
import { readLogin } from "./answer.ts";
import { CallContext, isThenable, PendingAnswer } from "./hook.ts";
import { type CompiledPlugin, failed, type Host, type Step } from "./phase.ts";
import type { AuthOutcome } from "./pipeline.ts";

type Login = Identity | Refuse | Defer | undefined;

const NONE: AuthOutcome = Object.freeze({ none: true });

/** Asks the authenticators that serve this mechanism. */
export const authenticate: (
  host: Host,
  credentials: Credentials,
  steps: readonly Step<Authenticator>[],
) => Effect.Effect<AuthOutcome> = Effect.fnUntraced(function* (host, credentials, steps) {
  for (const { plugin, hook } of steps) {
    if (!hook.mechanisms.some((name) => name === credentials.mechanism)) continue;
    const before = host.now();
    const context = new CallContext(host.session);
    let login: Login;
    let failure: string | undefined;
    let pending: PendingAnswer | undefined;
    try {
      const answer: unknown = hook.verify(credentials, context);
      if (answer !== undefined && isThenable(answer)) {
        pending = new PendingAnswer(answer, context, host.pending);
      } else {
        login = readLogin(answer, credentials.mechanism);
      }
    } catch (cause) {
      ({ login, failure } = broke(host, plugin, credentials, cause, false));
    }
    if (pending !== undefined) {
      yield* pending.settled(plugin.budget);
      try {
        if (pending.state === "rejected") throw pending.value;
        login = readLogin(pending.value, credentials.mechanism);
      } catch (cause) {
        ({ login, failure } = broke(host, plugin, credentials, cause, true));
      }
    }
    const refusal = login !== undefined && "verdict" in login ? login : undefined;
    if (login === undefined && failure === undefined) {
      host.trace.passes++;
    } else {
      host.trace.add({
        stage: "auth",
        plugin: plugin.name,
        verdict: refusal?.verdict ?? "pass",
        ms: host.now() - before,
        shadow: plugin.shadow,
        ...(refusal === undefined ? {} : { code: refusal.code }),
        ...(failure === undefined ? {} : { failure }),
      });
    }
    if (plugin.shadow || login === undefined) continue;
    return "verdict" in login
      ? { refused: login, plugin: plugin.name }
      : { identity: login, plugin: plugin.name };
  }
  return NONE;
});

function broke(
  host: Host,
  plugin: CompiledPlugin,
  credentials: Credentials,
  cause: unknown,
  asynchronous: boolean,
): { readonly login: Refuse | Defer | undefined; readonly failure: string } {
  const { verdict, message } = failed(
    host,
    plugin,
    "auth",
    undefined,
    cause,
    asynchronous,
    secretsOf(credentials),
  );
  const login = verdict.verdict === "refuse" || verdict.verdict === "defer" ? verdict : undefined;
  return { login, failure: message };
}

/** The password and the two base64 forms it has on the wire (RFC 4616, LOGIN). */
function secretsOf({ user, password }: Credentials): readonly string[] {
  return [base64(`\0${user}\0${password}`), base64(password), password];
}

function base64(text: string): string {
  return btoa(String.fromCharCode(...new TextEncoder().encode(text)));
}
