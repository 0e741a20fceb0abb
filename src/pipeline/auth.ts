/**
 * Authenticators: asked in order, until one knows the identity or refuses. A password or token never reaches a report (R18).
 * @module
 */
import * as Effect from "effect/Effect";
import type { Identity } from "../plugin/facts.ts";
import type {
  Authenticator,
  CertificateCredentials,
  Credentials,
  ScramSecret,
  TokenCredentials,
} from "../plugin/module.ts";
import type { Defer, Refuse } from "../plugin/verdict.ts";
import { readLogin, readScram } from "./answer.ts";
import { CallContext, isThenable, PendingAnswer } from "./hook.ts";
import { type CompiledPlugin, failed, type Host, type Step } from "./phase.ts";
import type { AuthOutcome } from "./pipeline.ts";
import { checkScram, decoyScram, SCRAM } from "./scram.ts";

/** What a client logs in with, where that is said at once. */
export type LoginCredentials = Credentials | TokenCredentials | CertificateCredentials;

/** The first half of a SCRAM exchange: what the proof will be checked against, and who gave it. */
export type ScramOpening =
  | { readonly user: string; readonly secret: ScramSecret; readonly by?: Step<Authenticator> }
  | { readonly refused: Refuse | Defer; readonly plugin: string };

type Login = Identity | Refuse | Defer | undefined;

const NONE: AuthOutcome = Object.freeze({ none: true });

/** What a login seems to have where no authenticator has a say: the least of RFC 7677. */
const UNKNOWN = { iterations: 4096 };

/** Asks the authenticators that serve this mechanism. */
export const authenticate: (
  host: Host,
  credentials: LoginCredentials,
  steps: readonly Step<Authenticator>[],
) => Effect.Effect<AuthOutcome> = Effect.fnUntraced(function* (host, credentials, steps) {
  const { mechanism } = credentials;
  const secrets = secretsOf(credentials);
  for (const { plugin, hook } of steps) {
    if (!hook.mechanisms.some((name) => name === mechanism)) continue;
    const login = yield* asked(
      host,
      plugin,
      (context) => ask(hook, credentials, context),
      (answer) => readLogin(answer, mechanism),
      secrets,
    );
    if (plugin.shadow || login === undefined) continue;
    return outcomeOf(login, plugin);
  }
  return NONE;
});

/** Asks for a login's secret. An unknown login has one, too: nobody is told by it which logins there are (R16). */
export const openScram: (
  host: Host,
  user: string,
  steps: readonly Step<Authenticator>[],
) => Effect.Effect<ScramOpening> = Effect.fnUntraced(function* (host, user, steps) {
  for (const step of steps) {
    const { plugin, hook } = step;
    if (!hook.mechanisms.includes(SCRAM)) continue;
    const found = yield* asked(
      host,
      plugin,
      (context) => hook.scram?.(user, context),
      readScram,
      [],
    );
    if (plugin.shadow || found === undefined) continue;
    if ("verdict" in found) return { refused: found, plugin: plugin.name };
    // Made up for known logins, too: it takes a time that must not tell.
    const decoy = decoyScram(user, found);
    return { user, secret: "storedKey" in found ? found : decoy, by: step };
  }
  return { user, secret: decoyScram(user, UNKNOWN) };
});

/** Checks the proof, and asks whoever gave the secret. The signature is there where somebody is logged in. */
export const closeScram: (
  host: Host,
  opening: Extract<ScramOpening, { readonly secret: ScramSecret }>,
  authMessage: string,
  proof: Uint8Array,
) => Effect.Effect<{ readonly outcome: AuthOutcome; readonly signature: string }> = Effect
  .fnUntraced(function* (host, { user, secret, by }, authMessage, proof) {
    const { proved, signature } = checkScram(secret, authMessage, proof);
    if (by === undefined) return { outcome: NONE, signature: "" };
    const { plugin, hook } = by;
    const login = yield* asked(
      host,
      plugin,
      (context) => hook.scramChecked?.({ mechanism: SCRAM, user, proved }, context),
      (answer) => readLogin(answer, SCRAM),
      [],
    );
    // Whatever a plugin says: without a proof nobody is let in.
    if (login === undefined || (!proved && !("verdict" in login))) {
      return { outcome: NONE, signature: "" };
    }
    return { outcome: outcomeOf(login, plugin), signature };
  });

function outcomeOf(
  login: Identity | Refuse | Defer,
  { name: plugin }: CompiledPlugin,
): AuthOutcome {
  return "verdict" in login ? { refused: login, plugin } : { identity: login, plugin };
}

function ask(hook: Authenticator, credentials: LoginCredentials, context: CallContext): unknown {
  if ("password" in credentials) return hook.verify?.(credentials, context);
  if ("token" in credentials) return hook.token?.(credentials, context);
  return hook.certificate?.(credentials, context);
}

/** One call of one authenticator: its answer, or what stands in for it where it failed. Writes the trace. */
const asked: <T extends object>(
  host: Host,
  plugin: CompiledPlugin,
  call: (context: CallContext) => unknown,
  read: (answer: unknown) => T | Refuse | Defer | undefined,
  secrets: readonly string[],
) => Effect.Effect<T | Refuse | Defer | undefined> = Effect.fnUntraced(
  function* <T extends object>(
    host: Host,
    plugin: CompiledPlugin,
    call: (context: CallContext) => unknown,
    read: (answer: unknown) => T | Refuse | Defer | undefined,
    secrets: readonly string[],
  ) {
    const before = host.now();
    const context = new CallContext(host.session);
    let result: T | Refuse | Defer | undefined;
    let failure: string | undefined;
    let pending: PendingAnswer | undefined;
    try {
      const answer = call(context);
      if (answer !== undefined && isThenable(answer)) {
        pending = new PendingAnswer(answer, context, host.pending);
      } else {
        result = read(answer);
      }
    } catch (cause) {
      ({ login: result, failure } = broke(host, plugin, cause, false, secrets));
    }
    if (pending !== undefined) {
      yield* pending.settled(plugin.budget);
      try {
        if (pending.state === "rejected") throw pending.value;
        result = read(pending.value);
      } catch (cause) {
        ({ login: result, failure } = broke(host, plugin, cause, true, secrets));
      }
    }
    const refusal = result !== undefined && "verdict" in result ? result : undefined;
    if (result === undefined && failure === undefined) {
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
    return result;
  },
);

function broke(
  host: Host,
  plugin: CompiledPlugin,
  cause: unknown,
  asynchronous: boolean,
  secrets: readonly string[],
): { readonly login: Refuse | Defer | undefined; readonly failure: string } {
  const { verdict, message } = failed(
    host,
    plugin,
    "auth",
    undefined,
    cause,
    asynchronous,
    secrets,
  );
  const login = verdict.verdict === "refuse" || verdict.verdict === "defer" ? verdict : undefined;
  return { login, failure: message };
}

/** What must not be told, and the base64 forms it has on the wire (RFC 4616, LOGIN, XOAUTH2). */
function secretsOf(credentials: LoginCredentials): readonly string[] {
  const { user } = credentials;
  if ("password" in credentials) {
    const { password } = credentials;
    return [base64(`\0${user}\0${password}`), base64(password), password];
  }
  if (!("token" in credentials)) return [];
  const { token } = credentials;
  return [base64(`user=${user}\x01auth=Bearer ${token}\x01\x01`), base64(token), token];
}

function base64(text: string): string {
  return btoa(String.fromCharCode(...new TextEncoder().encode(text)));
}
