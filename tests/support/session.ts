/**
 * Sessions as data, for the tests of `session/server.ts`: every policy, every state, an ask as text.
 * @module
 */
import type { Offer } from "../../src/session/capabilities.ts";
import {
  type Ask,
  freshState,
  type ServerPolicy,
  type ServerState,
} from "../../src/session/server.ts";
import type { Reply } from "../../src/wire/reply.ts";

/** An upstream that can do all. */
export const everything: Offer = { size: 1000, smtputf8: true, dsn: true, requiretls: true };
/** An upstream that can do nothing. */
export const nothing: Offer = { size: 0, smtputf8: false, dsn: false, requiretls: false };

/** What the tests vary. */
export const standard: ServerPolicy = {
  hostname: "mx.test",
  starttls: true,
  requireTls: false,
  auth: "optional",
  plaintextAuth: false,
  mechanisms: ["PLAIN", "LOGIN"],
  xclient: false,
  offer: everything,
  recipients: 3,
  transactions: 3,
  errors: 3,
  idleCommands: 5,
};

export const booleans = [false, true];
export const phases = ["fresh", "greeted", "mail", "rcpt", "bdat"] as const;

/** Every combination of one value of each list. */
export function* product(...lists: readonly (readonly unknown[])[]): Generator<unknown[]> {
  const [first, ...rest] = lists;
  if (first === undefined) {
    yield [];
    return;
  }
  for (const value of first) for (const tail of product(...rest)) yield [value, ...tail];
}

/** 192 policies. */
export function* policies(): Generator<ServerPolicy> {
  const axes = product(
    booleans,
    booleans,
    ["off", "optional", "required"],
    booleans,
    [[], ["PLAIN", "LOGIN"]],
    booleans,
    [nothing, everything],
  );
  for (const [starttls, requireTls, auth, plaintextAuth, mechanisms, xclient, offer] of axes) {
    yield {
      ...standard,
      ...{ starttls, requireTls, auth, plaintextAuth, mechanisms, xclient, offer } as Partial<
        ServerPolicy
      >,
    };
  }
}

/** Every state, reachable or not, with limits used up and not. */
export function* states(): Generator<ServerState> {
  const axes = product(phases, booleans, booleans, booleans, booleans, booleans, booleans);
  for (const [phase, secure, esmtp, loggedIn, smtputf8, full, spent] of axes) {
    yield {
      ...freshState,
      phase: phase as ServerState["phase"],
      secure: secure as boolean,
      esmtp: esmtp as boolean,
      authenticated: loggedIn as boolean,
      smtputf8: smtputf8 as boolean,
      recipients: full ? standard.recipients : phase === "rcpt" || phase === "bdat" ? 1 : 0,
      transactions: spent ? standard.transactions : 0,
    };
  }
}

/** An ask as one short text. */
export function shown(ask: Ask): string {
  const codes = (r: Reply): string => `${r.code} ${r.enhanced ?? "-"}`;
  switch (ask.ask) {
    case "reply":
      return codes(ask.reply);
    case "quit":
    case "reset":
    case "skip":
      return `${ask.ask} ${codes(ask.reply)}`;
    case "bdat":
      return ask.first ? "bdat first" : "bdat next";
    default:
      return ask.ask;
  }
}
