/**
 * Every reply in every state of the upstream set-up, hostile ones included: `ready` only where everything that was asked
 * for has happened, credentials only where nobody listens (R24, R18).
 * @module
 */
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import {
  type ClientPolicy,
  clientSecured,
  clientStart,
  type ClientState,
  clientStep,
  type Say,
} from "../../src/session/client.ts";
import { reply } from "../../src/wire/reply.ts";

const user = "ursula";
const password = "correct horse";
const secrets = [password, btoa(password), btoa(`\0${user}\0${password}`), btoa(user)];

/** What has happened, kept by hand from the lines said and the codes heard. */
interface Model {
  /** What the next reply answers. */
  readonly asked: string;
  readonly greeted: boolean;
  readonly tls: boolean;
  readonly login: boolean;
  readonly told: number;
}

const codes = [200, 211, 214, 220, 221, 235, 250, 251, 252, 299, 300, 334, 354, 399, 400, 421, 450]
  .concat([451, 454, 500, 501, 502, 503, 504, 530, 535, 538, 550, 554, 555, 599]);
const offers = ["", "STARTTLS", "AUTH PLAIN", "AUTH LOGIN", "XCLIENT NAME ADDR"];

/** Replies of one code: bare, and behind a greeting every set of offers. */
const texts: readonly (readonly string[])[] = Array.from(
  { length: 2 ** offers.length },
  (_, set) => ["up.test", ...offers.filter((_, i) => (set >> i) & 1)],
);

/** What a reply has done, by the protocol alone. */
function heard(model: Model, code: number): Model {
  const { asked } = model;
  if (asked.startsWith("EHLO") || asked.startsWith("HELO")) {
    return { ...model, greeted: code === 250 };
  }
  if (asked.startsWith("AUTH PLAIN") || asked === "password") {
    return { ...model, login: code === 235 };
  }
  if (asked.startsWith("XCLIENT")) {
    return {
      ...model,
      greeted: false,
      told: code === 220 || code === 250 ? model.told + 1 : -99,
    };
  }
  return model;
}

function said(policy: ClientPolicy, model: Model, say: Say): Model {
  const why = JSON.stringify({ tls: policy.tls, model, say });
  switch (say.say) {
    case "line": {
      assert.match(say.line, /^[\x20-\x7e]+$/, why);
      const secret = secrets.some((text) => say.line.includes(text));
      assert.ok(!secret || (say.secret && policy.auth !== undefined), why);
      assert.ok(!secret || model.tls || policy.tls === "none", why);
      const last = btoa(password) === say.line ? "password" : say.line;
      return { ...model, asked: last };
    }
    case "starttls":
      assert.ok(!model.tls && policy.tls !== "none" && model.asked === "STARTTLS", why);
      return model;
    case "ready":
      assert.ok(model.greeted, why);
      if (policy.tls === "require" || policy.tls === "verify") assert.ok(model.tls, why);
      if (policy.auth !== undefined) assert.ok(model.login, why);
      if (policy.xclient !== undefined) assert.ok(model.told === 2, why);
      return model;
    case "fail":
      assert.ok(!secrets.some((text) => say.reason.includes(text)), why);
      return model;
  }
}

/** Walks everything that can be reached; how many places there are. */
function walk(policy: ClientPolicy, implicit: boolean): { places: number; ready: number } {
  const start: Model = { asked: "", greeted: false, tls: implicit, login: false, told: 0 };
  const seen = new Set<string>();
  const todo: { state: ClientState; model: Model; depth: number }[] = [
    { state: clientStart(implicit), model: start, depth: 0 },
  ];
  let ready = 0;
  for (let place = todo.pop(); place !== undefined; place = todo.pop()) {
    const key = JSON.stringify([place.state, place.model]);
    if (seen.has(key)) continue;
    seen.add(key);
    assert.ok(place.depth < 40, `the conversation does not end: ${key}`);
    for (const code of codes) {
      for (const lines of code === 250 ? texts : [["x"]]) {
        const model = heard(place.model, code);
        let [state, say] = clientStep(policy, place.state, reply(code, "", ...lines));
        if (place.model.asked === "" && code !== 220) assert.equal(say.say, "fail");
        let next = said(policy, model, say);
        if (say.say === "starttls") {
          [state, say] = clientSecured(policy);
          next = said(policy, { ...start, tls: true }, say);
          assert.equal(state.secure, true);
          assert.equal(state.authenticated, false);
        }
        if (say.say === "ready") ready += 1;
        if (say.say === "line") todo.push({ state, model: next, depth: place.depth + 1 });
      }
    }
  }
  return { places: seen.size, ready };
}

describe("every reply in every state", () => {
  for (const tls of ["none", "opportunistic", "require", "verify"] as const) {
    for (const auth of [undefined, { user, password }]) {
      for (const xclient of [undefined, () => ["XCLIENT NAME=a", "XCLIENT ADDR=b"]]) {
        for (const implicit of [false, true]) {
          const name = [
            `tls = ${tls}`,
            implicit ? "implicit" : "",
            auth === undefined ? "" : "AUTH",
            xclient === undefined ? "" : "XCLIENT",
          ].filter((part) => part !== "").join(", ");
          test(`R13 R18 R24: never ready too soon, no credentials in the open: ${name}`, () => {
            const found = walk({ hostname: "edge.test", tls, auth, xclient }, implicit);
            assert.ok(found.ready > 0, "a good server is never ready");
            assert.ok(found.places > 2);
          });
        }
      }
    }
  }
});
