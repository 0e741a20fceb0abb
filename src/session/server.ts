/**
 * The server side of one SMTP session as pure functions: `step` turns a command into an ask, `settle` turns the answer that
 * the ask got into the next state (RFC 5321 section 4.1.4 for the order of commands). The state changes only with an
 * answer, so a command whose policy or upstream said no leaves no trace.
 *
 * Never: reads bytes, waits, knows of time or of plugins.
 * @module
 */
import type { Command } from "../wire/command.ts";
import type { MailParams, RcptParams } from "../wire/params.ts";
import type { Mailbox, ReversePath } from "../wire/path.ts";
import { type Reply, reply } from "../wire/reply.ts";
import type { XclientAttributes } from "../wire/xclient.ts";
import type { Offer } from "./capabilities.ts";

/** What does not change during a session. */
export interface ServerPolicy {
  readonly hostname: string;
  /** STARTTLS can be offered. */
  readonly starttls: boolean;
  /** MAIL needs TLS (RFC 3207 section 4). */
  readonly requireTls: boolean;
  readonly auth: "off" | "optional" | "required";
  /** AUTH is taken without TLS from this client. */
  readonly plaintextAuth: boolean;
  /** SASL mechanisms there is an authenticator for. */
  readonly mechanisms: readonly string[];
  /** This client may use XCLIENT. */
  readonly xclient: boolean;
  readonly offer: Offer;
  readonly recipients: number;
  readonly transactions: number;
  readonly errors: number;
  readonly idleCommands: number;
}

/** Where a session stands. */
export interface ServerState {
  /** `bdat`: at least one chunk of this transaction has been taken. */
  readonly phase: "fresh" | "greeted" | "mail" | "rcpt" | "bdat";
  readonly helo: string;
  readonly esmtp: boolean;
  readonly secure: boolean;
  readonly authenticated: boolean;
  /** Recipients accepted in this transaction. */
  readonly recipients: number;
  readonly smtputf8: boolean;
  readonly transactions: number;
  /** Error replies since the last accepted message. */
  readonly errors: number;
  /** Commands in a row that opened no transaction. */
  readonly idle: number;
}

/** A session that has just begun, or begins anew after TLS (RFC 3207 section 4.2). */
export const freshState: ServerState = {
  phase: "fresh",
  helo: "",
  esmtp: false,
  secure: false,
  authenticated: false,
  recipients: 0,
  smtputf8: false,
  transactions: 0,
  errors: 0,
  idle: 0,
};

/** What the driver has to do about a command. Everything but `reply` and `quit` is the driver's to answer. */
export type Ask =
  | { readonly ask: "reply"; readonly reply: Reply }
  | { readonly ask: "quit"; readonly reply: Reply }
  | { readonly ask: "helo"; readonly name: string; readonly esmtp: boolean }
  | { readonly ask: "mail"; readonly from: ReversePath; readonly params: MailParams }
  | { readonly ask: "rcpt"; readonly to: Mailbox; readonly params: RcptParams }
  | { readonly ask: "data" }
  | { readonly ask: "bdat"; readonly size: number; readonly last: boolean; readonly first: boolean }
  /** Take `size` octets off the stream, throw them away, then give this reply (RFC 3030 section 2). */
  | { readonly ask: "skip"; readonly size: number; readonly reply: Reply }
  | { readonly ask: "auth"; readonly mechanism: string; readonly initial: string | undefined }
  | { readonly ask: "starttls" }
  | { readonly ask: "xclient"; readonly attributes: XclientAttributes }
  | { readonly ask: "reset"; readonly reply: Reply };

const badSequence = (what: string): Ask => say(reply(503, "5.5.1", what));
const say = (r: Reply): Ask => ({ ask: "reply", reply: r });
const notOffered = (what: string): Ask => say(reply(555, "5.5.4", `${what} is not offered here`));

const helpReply = reply(214, "2.0.0", "See RFC 5321");
const okReply = reply(250, "2.0.0", "Ok");
const byeReply = reply(221, "2.0.0", "Bye");
const verifyReply = reply(252, "2.5.0", "Cannot verify; will accept message and try");
const expandReply = reply(502, "5.5.1", "EXPN is not available");
const unknownReply = reply(500, "5.5.2", "Command not recognized");
const tlsNeeded = reply(530, "5.7.0", "Must issue a STARTTLS command first");
const authNeeded = reply(530, "5.7.0", "Authentication required");
const tooManyRecipients = reply(452, "4.5.3", "Too many recipients");
const tooManyTransactions = reply(421, "4.7.0", "Too many messages in this session");
const bdatPending = "BDAT in progress: BDAT or RSET expected";

/** One command to one ask. Total: every state has an answer to every command. */
export function step(policy: ServerPolicy, state: ServerState, command: Command): Ask {
  switch (command.verb) {
    case "UNKNOWN":
      return say(unknownReply);
    case "BAD":
      return say(command.reply);
    case "HELO":
    case "EHLO":
      return { ask: "helo", name: command.name, esmtp: command.verb === "EHLO" };
    case "NOOP":
      return say(okReply);
    case "HELP":
      return say(helpReply);
    case "QUIT":
      return { ask: "quit", reply: byeReply };
    case "VRFY":
      return policy.auth === "required" && !state.authenticated
        ? say(authNeeded)
        : say(verifyReply);
    case "EXPN":
      return say(expandReply);
    case "RSET":
      return { ask: "reset", reply: okReply };
    case "STARTTLS":
      return stepStarttls(policy, state);
    case "AUTH":
      return stepAuth(policy, state, command.mechanism, command.initial);
    case "XCLIENT":
      return stepXclient(policy, state, command.attributes);
    case "MAIL":
      return stepMail(policy, state, command.from, command.params);
    case "RCPT":
      return stepRcpt(policy, state, command.to, command.params);
    case "DATA":
      if (state.phase === "bdat") return badSequence(bdatPending);
      if (state.phase === "rcpt") return { ask: "data" };
      return state.phase === "mail"
        ? say(reply(554, "5.5.1", "No valid recipients"))
        : badSequence("MAIL first");
    case "BDAT":
      return stepBdat(state, command.size, command.last);
  }
}

function stepStarttls(policy: ServerPolicy, state: ServerState): Ask {
  if (state.secure) return badSequence("TLS is active already");
  if (!policy.starttls) return say(reply(502, "5.5.1", "STARTTLS is not offered here"));
  if (state.phase === "fresh") return badSequence("EHLO first");
  if (state.phase !== "greeted") {
    return badSequence("STARTTLS is not allowed in a mail transaction");
  }
  return { ask: "starttls" };
}

/** True when AUTH is to be offered and taken (RFC 4954 section 4, R15). */
export function authAvailable(policy: ServerPolicy, state: ServerState): boolean {
  return policy.auth !== "off" && policy.mechanisms.length > 0 &&
    (state.secure || policy.plaintextAuth);
}

function stepAuth(
  policy: ServerPolicy,
  state: ServerState,
  mechanism: string,
  initial: string | undefined,
): Ask {
  if (policy.auth === "off" || policy.mechanisms.length === 0) {
    return say(reply(502, "5.5.1", "AUTH is not offered here"));
  }
  if (!state.secure && !policy.plaintextAuth) {
    return say(
      reply(538, "5.7.11", "Encryption required for the requested authentication mechanism"),
    );
  }
  if (state.phase === "fresh" || !state.esmtp) return badSequence("EHLO first");
  if (state.authenticated) return badSequence("Already authenticated");
  if (state.phase !== "greeted") return badSequence("AUTH is not allowed in a mail transaction");
  if (!policy.mechanisms.includes(mechanism)) {
    return say(reply(504, "5.5.4", "Unrecognized authentication mechanism"));
  }
  return { ask: "auth", mechanism, initial };
}

function stepXclient(
  policy: ServerPolicy,
  state: ServerState,
  attributes: XclientAttributes,
): Ask {
  if (!policy.xclient) return say(reply(550, "5.7.0", "XCLIENT is not allowed for this client"));
  if (state.phase !== "fresh" && state.phase !== "greeted") {
    return badSequence("XCLIENT is not allowed in a mail transaction");
  }
  return { ask: "xclient", attributes };
}

function stepMail(
  policy: ServerPolicy,
  state: ServerState,
  from: ReversePath,
  params: MailParams,
): Ask {
  if (state.phase === "fresh") return badSequence("EHLO first");
  if (state.phase !== "greeted") return badSequence("Nested MAIL");
  if (policy.requireTls && !state.secure) return say(tlsNeeded);
  if (policy.auth === "required" && !state.authenticated) return say(authNeeded);
  if (state.transactions >= policy.transactions) return say(tooManyTransactions);
  const { offer } = policy;
  if (!state.esmtp && hasParams(params)) {
    return say(reply(555, "5.5.4", "Parameters need EHLO"));
  }
  if (params.body === "BINARYMIME") return notOffered("BINARYMIME");
  if (params.smtputf8 && !offer.smtputf8) return notOffered("SMTPUTF8");
  if ((params.ret !== undefined || params.envid !== undefined) && !offer.dsn) {
    return notOffered("DSN");
  }
  // Offered under TLS only (RFC 8689 section 2).
  if (params.requiretls && !(offer.requiretls && state.secure)) return notOffered("REQUIRETLS");
  if (params.auth !== undefined && !authAvailable(policy, state)) return notOffered("AUTH");
  if (from !== null && from.utf8 && !params.smtputf8) {
    return say(reply(553, "5.6.7", "Internationalized address needs SMTPUTF8"));
  }
  if (params.size !== undefined && offer.size > 0 && params.size > offer.size) {
    return say(reply(552, "5.3.4", "Message size exceeds fixed maximum message size"));
  }
  return { ask: "mail", from, params };
}

function stepRcpt(
  policy: ServerPolicy,
  state: ServerState,
  to: Mailbox,
  params: RcptParams,
): Ask {
  if (state.phase === "bdat") return badSequence(bdatPending);
  if (state.phase !== "mail" && state.phase !== "rcpt") return badSequence("MAIL first");
  const asksForDsn = params.notify !== undefined || params.orcpt !== undefined;
  if (asksForDsn && !(policy.offer.dsn && state.esmtp)) return notOffered("DSN");
  const utf8 = to.utf8 || (params.orcpt !== undefined && /[^\x00-\x7f]/.test(params.orcpt));
  if (utf8 && !state.smtputf8) {
    return say(reply(553, "5.6.7", "Internationalized address needs SMTPUTF8"));
  }
  if (state.recipients >= policy.recipients) return say(tooManyRecipients);
  return { ask: "rcpt", to, params };
}

function stepBdat(state: ServerState, size: number, last: boolean): Ask {
  if (state.phase === "rcpt") return { ask: "bdat", size, last, first: true };
  if (state.phase === "bdat") return { ask: "bdat", size, last, first: false };
  return {
    ask: "skip",
    size,
    reply: state.phase === "mail"
      ? reply(554, "5.5.1", "No valid recipients")
      : reply(503, "5.5.1", "MAIL first"),
  };
}

function hasParams(params: MailParams): boolean {
  for (const _ in params) return true;
  return false;
}

/** The state after an ask was answered with this reply. */
export function settle(state: ServerState, ask: Ask, answer: Reply): ServerState {
  const good = answer.code < 400;
  switch (ask.ask) {
    case "reply":
      // Recipients above the limit are asked for again later (RFC 5321 section 4.5.3.1.10): no error of the client's.
      if (ask.reply === tooManyRecipients) return state;
      return count({ ...state, idle: state.idle + 1 }, good);
    case "quit":
    case "auth":
    case "xclient":
    case "starttls":
    case "skip":
      return count(state, good);
    case "helo":
      return good
        ? {
          ...endTransaction(state),
          phase: "greeted",
          helo: ask.name,
          esmtp: ask.esmtp,
          idle: state.idle + 1,
        }
        : count(state, false);
    case "reset":
      return { ...endTransaction(state), idle: state.idle + 1 };
    case "mail":
      return good
        ? {
          ...state,
          phase: "mail",
          idle: 0,
          recipients: 0,
          smtputf8: ask.params.smtputf8 === true,
          transactions: state.transactions + 1,
        }
        : count(state, false);
    case "rcpt":
      if (good) return { ...state, phase: "rcpt", recipients: state.recipients + 1 };
      // A refused recipient beside an accepted one is an old mailing list, not an attack.
      return state.recipients > 0 ? state : count(state, false);
    case "data":
      return good && answer.code !== 354 ? { ...endTransaction(state), errors: 0 } : count(
        answer.code === 354 ? state : endTransaction(state),
        good,
      );
    case "bdat":
      if (!good) return count(endTransaction(state), false);
      return ask.last ? { ...endTransaction(state), errors: 0 } : { ...state, phase: "bdat" };
  }
}

/** After AUTH succeeded. */
export function authenticated(state: ServerState): ServerState {
  return { ...state, authenticated: true };
}

/** After a TLS handshake: everything learned before is forgotten (RFC 3207 section 4.2, R12). The error count stays. */
export function secured(state: ServerState): ServerState {
  return { ...freshState, secure: true, errors: state.errors };
}

/** After XCLIENT: the session begins anew. */
export function restarted(state: ServerState, loggedIn: boolean): ServerState {
  return { ...freshState, secure: state.secure, authenticated: loggedIn, errors: state.errors };
}

/** True when the session has earned its end: too many errors, or too many commands that do nothing. */
export function exhausted(policy: ServerPolicy, state: ServerState): boolean {
  return state.errors >= policy.errors || state.idle >= policy.idleCommands;
}

function endTransaction(state: ServerState): ServerState {
  return {
    ...state,
    phase: state.phase === "fresh" ? "fresh" : "greeted",
    recipients: 0,
    smtputf8: false,
  };
}

function count(state: ServerState, good: boolean): ServerState {
  return good ? state : { ...state, errors: state.errors + 1 };
}

/** The EHLO reply of this moment (RFC 5321 section 4.1.1.1); HELO gets its first line. */
export function greetingReply(
  policy: ServerPolicy,
  state: ServerState,
  name: string,
  esmtp: boolean,
): Reply {
  const first = `${policy.hostname} greets ${name}`;
  if (!esmtp) return reply(250, "", policy.hostname);
  const { offer } = policy;
  const lines = [
    first,
    "PIPELINING",
    offer.size > 0 ? `SIZE ${offer.size}` : "SIZE",
    "8BITMIME",
    "ENHANCEDSTATUSCODES",
    "CHUNKING",
    `LIMITS RCPTMAX=${policy.recipients} MAILMAX=${policy.transactions}`,
  ];
  if (offer.smtputf8) lines.push("SMTPUTF8");
  if (offer.dsn) lines.push("DSN");
  if (offer.requiretls && state.secure) lines.push("REQUIRETLS");
  if (policy.starttls && !state.secure) lines.push("STARTTLS");
  if (authAvailable(policy, state) && !state.authenticated) {
    lines.push(`AUTH ${policy.mechanisms.join(" ")}`);
  }
  if (policy.xclient) lines.push("XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT");
  return reply(250, "", ...lines);
}
