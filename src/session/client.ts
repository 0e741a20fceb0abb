/**
 * The upstream conversation up to the first MAIL as a pure function: (state, reply) to what to say next. Greeting, EHLO (HELO
 * where that is refused, RFC 5321 section 4.1.1.1), STARTTLS and EHLO again (RFC 3207), AUTH (RFC 4954), XCLIENT and EHLO
 * again. A server that does not follow the protocol is given up, never guessed at.
 * @module
 */
import { loginStep, plainInitial } from "../wire/sasl.ts";
import type { Reply } from "../wire/reply.ts";
import { type Extensions, noExtensions, parseExtensions } from "./capabilities.ts";

/** How an upstream connection is set up. */
export interface ClientPolicy {
  /** Our name for EHLO. */
  readonly hostname: string;
  readonly tls: "none" | "opportunistic" | "require" | "verify";
  readonly auth: { readonly user: string; readonly password: string } | undefined;
  /** Makes the XCLIENT lines for what the server offers; undefined: no XCLIENT. */
  readonly xclient: ((offered: readonly string[]) => readonly string[]) | undefined;
}

/** Where the conversation stands. */
export interface ClientState {
  readonly step:
    | "greeting"
    | "ehlo"
    | "helo"
    | "starttls"
    | "auth-plain"
    | "auth-user"
    | "auth-password"
    | "auth-done"
    | "xclient"
    | "ready";
  readonly secure: boolean;
  readonly authenticated: boolean;
  readonly identified: boolean;
  /** XCLIENT lines still to be sent. */
  readonly lines: readonly string[];
  readonly extensions: Extensions;
}

/** What to do next. `fail.reply` is the upstream's own answer where it gave one. */
export type Say =
  | { readonly say: "line"; readonly line: string; readonly secret: boolean }
  | { readonly say: "starttls" }
  | { readonly say: "ready" }
  | { readonly say: "fail"; readonly reason: string; readonly reply: Reply | undefined };

/** The state of a connection that has just been opened (with TLS already, where it is implicit). */
export function clientStart(secure: boolean): ClientState {
  return {
    step: "greeting",
    secure,
    authenticated: false,
    identified: false,
    lines: [],
    extensions: noExtensions,
  };
}

type Next = readonly [ClientState, Say];

const fail = (state: ClientState, reason: string, reply?: Reply): Next => [
  state,
  { say: "fail", reason, reply },
];
const line = (state: ClientState, text: string, secret = false): Next => [
  state,
  { say: "line", line: text, secret },
];

/** One reply of the upstream during set-up. */
export function clientStep(policy: ClientPolicy, state: ClientState, reply: Reply): Next {
  switch (state.step) {
    case "greeting":
      return reply.code === 220
        ? line({ ...state, step: "ehlo" }, `EHLO ${policy.hostname}`)
        : fail(state, `greeted with ${reply.code}`, reply);
    case "ehlo":
      if (reply.code === 250) {
        return onward(policy, { ...state, extensions: parseExtensions(reply.lines) });
      }
      return refused(reply)
        ? line({ ...state, step: "helo" }, `HELO ${policy.hostname}`)
        : fail(state, `answered EHLO with ${reply.code}`, reply);
    case "helo":
      return reply.code === 250
        ? onward(policy, { ...state, extensions: noExtensions })
        : fail(state, `answered HELO with ${reply.code}`, reply);
    case "starttls":
      if (reply.code === 220) return [state, { say: "starttls" }];
      return policy.tls === "opportunistic" && refused(reply)
        ? afterTls(policy, state)
        : fail(state, `answered STARTTLS with ${reply.code}`, reply);
    case "auth-user":
      return reply.code === 334 && policy.auth !== undefined
        ? line({ ...state, step: "auth-password" }, login(policy.auth, 0), true)
        : fail(state, `answered AUTH LOGIN with ${reply.code}`, reply);
    case "auth-password":
      return reply.code === 334 && policy.auth !== undefined
        ? line({ ...state, step: "auth-done" }, login(policy.auth, 1), true)
        : fail(state, `answered AUTH LOGIN with ${reply.code}`, reply);
    case "auth-plain":
    case "auth-done":
      return reply.code === 235
        ? afterAuth(policy, { ...state, authenticated: true })
        : fail(state, `refused our credentials with ${reply.code}`, reply);
    case "xclient":
      // Postfix answers each XCLIENT with 220 or 250 and expects EHLO after the last one.
      if (reply.code !== 220 && reply.code !== 250) {
        return fail(state, `refused XCLIENT with ${reply.code}`, reply);
      }
      return state.lines.length > 0 ? nextXclient(state) : line(
        { ...state, step: "ehlo", identified: true },
        `EHLO ${policy.hostname}`,
      );
    case "ready":
      return fail(state, `said ${reply.code} unasked`, reply);
  }
}

/** The server understood us and said no. Anything else that is not the answer asked for is no SMTP, or an end (421). */
function refused(reply: Reply): boolean {
  return reply.code >= 400 && reply.code !== 421;
}

/** After the handshake: everything learned before is forgotten (RFC 3207 section 4.2, R13). */
export function clientSecured(policy: ClientPolicy): Next {
  return line({ ...clientStart(true), step: "ehlo" }, `EHLO ${policy.hostname}`);
}

function onward(policy: ClientPolicy, state: ClientState): Next {
  if (state.secure || policy.tls === "none") return afterTls(policy, state);
  if (state.extensions.starttls) return line({ ...state, step: "starttls" }, "STARTTLS");
  return policy.tls === "opportunistic"
    ? afterTls(policy, state)
    : fail(state, "does not offer STARTTLS");
}

function afterTls(policy: ClientPolicy, state: ClientState): Next {
  const { auth } = policy;
  if (auth === undefined || state.authenticated) return afterAuth(policy, state);
  // Credentials never cross a connection that is not encrypted unless the operator chose `none`.
  if (!state.secure && policy.tls !== "none") {
    return fail(state, "has no TLS, so our credentials are not sent");
  }
  const offered = state.extensions.auth;
  if (offered.includes("PLAIN")) {
    return line(
      { ...state, step: "auth-plain" },
      `AUTH PLAIN ${plainInitial(auth.user, auth.password)}`,
      true,
    );
  }
  if (offered.includes("LOGIN")) return line({ ...state, step: "auth-user" }, "AUTH LOGIN");
  return fail(state, "offers no AUTH mechanism we have (PLAIN, LOGIN)");
}

function afterAuth(policy: ClientPolicy, state: ClientState): Next {
  if (policy.xclient === undefined || state.identified) {
    return [{ ...state, step: "ready" }, { say: "ready" }];
  }
  if (state.extensions.xclient.length === 0) return fail(state, "does not offer XCLIENT");
  const lines = policy.xclient(state.extensions.xclient);
  return lines.length === 0
    ? [{ ...state, step: "ready", identified: true }, { say: "ready" }]
    : nextXclient({ ...state, lines });
}

function login(auth: { readonly user: string; readonly password: string }, step: number): string {
  return loginStep(step, auth.user, auth.password) ?? "*";
}

function nextXclient(state: ClientState): Next {
  const [first = "", ...rest] = state.lines;
  return line({ ...state, step: "xclient", lines: rest }, first);
}

/** Sends a client's identity on a connection that is in use already: XCLIENT, then EHLO again. */
export function clientIdentify(policy: ClientPolicy, state: ClientState): Next {
  return afterAuth(policy, { ...state, identified: false });
}
