/**
 * Every sequence of commands and answers, against a model of a transaction that is kept beside the session: no order of
 * commands reaches content without an accepted recipient.
 * @module
 */
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  type Ask,
  authenticated,
  freshState,
  restarted,
  secured,
  type ServerPolicy,
  type ServerState,
  settle,
  step,
} from "../../src/session/server.ts";
import { type Command, parseCommand } from "../../src/wire/command.ts";
import { type Reply, reply } from "../../src/wire/reply.ts";
import { policies, standard } from "../support/session.ts";

/** What a transaction is, counted by hand from what was answered (RFC 5321 sections 3.3, 4.1.4). */
interface Model {
  readonly greeted: boolean;
  readonly sender: boolean;
  readonly accepted: number;
  readonly chunks: number;
  readonly tls: boolean;
  readonly login: boolean;
}

const blank: Model = {
  greeted: false,
  sender: false,
  accepted: 0,
  chunks: 0,
  tls: false,
  login: false,
};
const none = { sender: false, accepted: 0, chunks: 0 };

type Answer = "yes" | "no" | "late";
const ok = reply(250, "2.0.0", "Ok");
const goAhead = reply(354, "", "Go ahead");
const refusal = reply(550, "5.7.1", "No");

interface Pair {
  readonly state: ServerState;
  readonly model: Model;
}

/** Plays one command and its answer. `late`: DATA gets its 354, and the dot is refused. */
function play(policy: ServerPolicy, pair: Pair, command: Command, answer: Answer): Pair {
  const { state, model } = pair;
  const ask = step(policy, state, command);
  judge(policy, model, command, ask);
  const settled = (r: Reply): ServerState => settle(state, ask, r);
  const good = answer === "yes";
  switch (ask.ask) {
    case "reply":
    case "quit":
    case "skip":
      return { state: settled(ask.reply), model };
    case "reset":
      return { state: settled(ask.reply), model: { ...model, ...none } };
    case "helo":
      return {
        state: settled(good ? ok : refusal),
        model: good ? { ...model, ...none, greeted: true } : model,
      };
    case "mail":
      return { state: settled(good ? ok : refusal), model: { ...model, sender: good } };
    case "rcpt":
      return {
        state: settled(good ? ok : refusal),
        model: { ...model, accepted: model.accepted + (good ? 1 : 0) },
      };
    case "data": {
      const asked = settle(state, ask, answer === "no" ? refusal : goAhead);
      const state2 = answer === "no" ? asked : settle(asked, ask, good ? ok : refusal);
      return { state: state2, model: { ...model, ...none } };
    }
    case "bdat":
      return {
        state: settled(good ? ok : refusal),
        model: good && !ask.last ? { ...model, chunks: model.chunks + 1 } : { ...model, ...none },
      };
    case "auth":
      return {
        state: good ? settle(authenticated(state), ask, ok) : settled(refusal),
        model: { ...model, login: model.login || good },
      };
    case "starttls":
      return good
        ? { state: secured(state), model: { ...blank, tls: true } }
        : { state: settled(refusal), model };
    case "xclient":
      return good
        ? { state: restarted(state, true), model: { ...blank, tls: model.tls, login: true } }
        : { state: settled(refusal), model };
  }
}

/** What may be asked, and what must be, by the model alone. */
function judge(policy: ServerPolicy, model: Model, command: Command, ask: Ask): void {
  const { sender, accepted, chunks } = model;
  const why = `${JSON.stringify(command)} became ${JSON.stringify(ask)} in ${
    JSON.stringify(model)
  }`;
  const open = sender && accepted > 0;
  switch (ask.ask) {
    case "data":
      assert.ok(open && chunks === 0, why);
      break;
    case "bdat":
      assert.ok(open, why);
      assert.equal(ask.first, chunks === 0, why);
      break;
    case "rcpt":
      assert.ok(sender && chunks === 0, why);
      break;
    case "mail":
      assert.ok(model.greeted && !sender, why);
      assert.ok(policy.auth !== "required" || model.login, why);
      assert.ok(!policy.requireTls || model.tls, why);
      break;
    case "auth":
      assert.ok(!model.login && !sender && model.greeted, why);
      assert.ok(model.tls || policy.plaintextAuth, why);
      break;
    case "starttls":
      assert.ok(!model.tls && !sender && model.greeted, why);
      break;
    default:
  }
  if (command.verb === "DATA" && open && chunks === 0) assert.equal(ask.ask, "data", why);
  if (command.verb === "BDAT") assert.equal(ask.ask, open ? "bdat" : "skip", why);
}

const lines = [
  "EHLO a.test",
  "HELO a.test",
  "MAIL FROM:<a@b.test>",
  "RCPT TO:<c@d.test>",
  "DATA",
  "BDAT 3",
  "BDAT 3 LAST",
  "RSET",
  "NOOP",
  "STARTTLS",
  "AUTH PLAIN",
  "XCLIENT LOGIN=u",
  "MAIL FROM:<a>",
  "RCPT TO:<b>",
  "BOGUS",
];
const commands = lines.map(parseCommand);
const answers: readonly Answer[] = ["yes", "no", "late"];

/** Plays every sequence of this length; sequences that lead to the same place go on as one. How many there are. */
function everySequence(policy: ServerPolicy, length: number): number {
  let level = new Map<string, { pair: Pair; ways: number }>([
    ["", { pair: { state: freshState, model: blank }, ways: 1 }],
  ]);
  for (let i = 0; i < length; i++) {
    const next = new Map<string, { pair: Pair; ways: number }>();
    for (const { pair, ways } of level.values()) {
      for (const command of commands) {
        for (const answer of answers) {
          const now = play(policy, pair, command, answer);
          const key = JSON.stringify(now);
          const known = next.get(key);
          if (known === undefined) next.set(key, { pair: now, ways });
          else known.ways += ways;
        }
      }
    }
    level = next;
  }
  return [...level.values()].reduce((sum, { ways }) => sum + ways, 0);
}

describe("every sequence of commands and answers", () => {
  const roomy = { ...standard, errors: 99, idleCommands: 99, transactions: 99, recipients: 99 };
  const cases: readonly [string, Partial<ServerPolicy>][] = [
    ["an open listener", { auth: "off", starttls: false }],
    ["STARTTLS and AUTH", { xclient: true }],
    ["submission", { auth: "required", requireTls: true }],
    ["submission on loopback, two recipients at most", {
      auth: "required",
      plaintextAuth: true,
      recipients: 2,
      transactions: 2,
    }],
  ];
  for (const [name, policy] of cases) {
    test(`R3 R15: six commands never reach content without an accepted recipient: ${name}`, () => {
      assert.equal(everySequence({ ...roomy, ...policy }, 6), (lines.length * answers.length) ** 6);
    });
  }

  test("R3 R15: nor do long ones, under any policy", () => {
    const all = [...policies()];
    fc.assert(fc.property(
      fc.constantFrom(...all),
      fc.array(fc.tuple(fc.constantFrom(...commands), fc.constantFrom(...answers)), {
        maxLength: 60,
      }),
      (policy, steps) => {
        let pair: Pair = { state: freshState, model: blank };
        for (const [command, answer] of steps) pair = play(policy, pair, command, answer);
      },
    ));
  });
});
