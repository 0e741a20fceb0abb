/**
 * The server side of a session: how answers change the state, what it forgets, its limits, and what EHLO offers.
 * @module
 */
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import {
  authAvailable,
  authenticated,
  exhausted,
  freshState,
  greetingReply,
  restarted,
  secured,
  type ServerPolicy,
  type ServerState,
  settle,
  step,
} from "../../src/session/server.ts";
import { parseCommand } from "../../src/wire/command.ts";
import { type Reply, reply } from "../../src/wire/reply.ts";
import {
  booleans,
  everything,
  nothing,
  phases,
  policies,
  product,
  shown,
  standard,
  states,
} from "../support/session.ts";

const ok = reply(250, "2.0.0", "Ok");
const goAhead = reply(354, "", "Go ahead");
const later = reply(451, "4.3.0", "Later");
const never = reply(550, "5.7.1", "No");

/** Says a line and settles it with the answer, or with the ask's own reply. */
function said(p: ServerPolicy, s: ServerState, line: string, answer: Reply = ok): ServerState {
  const ask = step(p, s, parseCommand(line));
  return settle(s, ask, "reply" in ask ? ask.reply : answer);
}

/** A state that is reached by these lines, all of them accepted. */
function after(...lines: readonly string[]): ServerState {
  return lines.reduce((s, line) => said(standard, s, line), freshState);
}

const ehlo = "EHLO client.test";
const from = "MAIL FROM:<a@b.test>";
const to = "RCPT TO:<c@d.test>";

describe("settle", () => {
  test("a transaction goes from phase to phase", () => {
    const phasesOf = [[ehlo], [ehlo, from], [ehlo, from, to], [ehlo, from, to, "BDAT 3"]];
    assert.deepEqual(phasesOf.map((lines) => after(...lines).phase), phases.slice(1));
  });

  test("a refusal leaves no trace but an error", () => {
    for (const answer of [later, never]) {
      const cases: [ServerState, string][] = [
        [freshState, ehlo],
        [after(ehlo), from],
        [after(ehlo, from), to],
        [after(ehlo), "STARTTLS"],
      ];
      for (const [before, line] of cases) {
        assert.deepEqual(said(standard, before, line, answer), { ...before, errors: 1 });
      }
    }
  });

  test("a refused EHLO leaves the transaction as it was (RFC 5321 section 4.1.4)", () => {
    const before = after(ehlo, from, to);
    assert.deepEqual(said(standard, before, ehlo, never), { ...before, errors: 1 });
  });

  test("EHLO, HELO and RSET end a transaction and keep who the client is (RFC 5321 section 4.1.4)", () => {
    for (const line of [ehlo, "HELO other.test", "RSET"]) {
      for (const lines of [[from], [from, to], [from, to, "BDAT 3"]]) {
        const before = { ...after(ehlo, ...lines), secure: true, authenticated: true };
        const now = said(standard, before, line);
        assert.equal(now.phase, "greeted");
        assert.equal(now.recipients, 0);
        assert.equal(now.smtputf8, false);
        assert.equal(now.authenticated && now.secure, true);
        assert.equal(now.esmtp, line !== "HELO other.test");
        assert.equal(now.transactions, before.transactions);
      }
    }
  });

  test("RSET before EHLO does not greet", () => {
    assert.equal(said(standard, freshState, "RSET").phase, "fresh");
  });

  test("354 keeps the transaction, the reply to the dot ends it, whatever it is", () => {
    const before = { ...after(ehlo, from, to), errors: 2 };
    assert.deepEqual(said(standard, before, "DATA", goAhead), before);
    for (const answer of [ok, later, never]) {
      const now = said(standard, before, "DATA", answer);
      assert.equal(now.phase, "greeted");
      assert.equal(now.recipients, 0);
      assert.equal(now.errors, answer === ok ? 0 : 3);
    }
  });

  test("a refused chunk ends the transaction, and so does the last one (RFC 3030 section 2)", () => {
    const before = after(ehlo, from, to);
    assert.equal(said(standard, before, "BDAT 3", never).phase, "greeted");
    assert.equal(said(standard, before, "BDAT 3 LAST").phase, "greeted");
    const next = said(standard, said(standard, before, "BDAT 3"), "BDAT 0 LAST", later);
    assert.equal(next.phase, "greeted");
    assert.equal(next.recipients, 0);
  });

  test("SMTPUTF8 holds for its own transaction only (RFC 6531 section 3.4)", () => {
    const first = after(ehlo, `${from} SMTPUTF8`);
    assert.equal(first.smtputf8, true);
    assert.equal(said(standard, said(standard, first, "RSET"), from).smtputf8, false);
  });
});

describe("what a session forgets", () => {
  const rich: ServerState = {
    phase: "bdat",
    helo: "client.test",
    esmtp: true,
    secure: false,
    authenticated: true,
    recipients: 2,
    smtputf8: true,
    transactions: 2,
    errors: 2,
    idle: 3,
  };

  test("R12: TLS forgets everything but the errors (RFC 3207 section 4.2)", () => {
    for (const s of states()) {
      const before = { ...rich, ...s, helo: "client.test", errors: 2 };
      assert.deepEqual(secured(before), { ...freshState, secure: true, errors: 2 });
    }
    const now = secured(rich);
    for (const line of [from, to, "DATA", "AUTH PLAIN", "STARTTLS"]) {
      assert.equal(shown(step(standard, now, parseCommand(line))), "503 5.5.1", line);
    }
  });

  test("XCLIENT begins anew, with the login it told", () => {
    for (const loggedIn of booleans) {
      const expected = { ...freshState, errors: 2, authenticated: loggedIn };
      assert.deepEqual(restarted(rich, loggedIn), expected);
      const secure = restarted({ ...rich, secure: true }, loggedIn);
      assert.deepEqual(secure, { ...expected, secure: true });
    }
  });

  test("R15: a login is for the session, and changes nothing else", () => {
    const before = after(ehlo);
    assert.deepEqual(authenticated(before), { ...before, authenticated: true });
  });
});

describe("limits", () => {
  test("R32: recipients over the limit get 452 4.5.3 and are no errors (RFC 5321 section 4.5.3.1.10)", () => {
    let s = after(ehlo, from, to, to, to);
    for (let i = 0; i < 20; i++) {
      const ask = step(standard, s, parseCommand(to));
      assert.equal(shown(ask), "452 4.5.3");
      s = said(standard, s, to);
    }
    assert.equal(s.errors, 0);
    assert.equal(exhausted(standard, s), false);
    assert.equal(s.phase, "rcpt");
    assert.equal(shown(step(standard, s, parseCommand("DATA"))), "data");
  });

  test("R32: recipients of one transaction do not count in the next", () => {
    const s = after(ehlo, from, to, to, to, "RSET", from);
    assert.equal(shown(step(standard, s, parseCommand(to))), "rcpt");
  });

  test("R32: only errors end the session", () => {
    const errors = ["BOGUS", "MAIL FROM:a", "DATA", to, "AUTH PLAIN", "EHLO"];
    for (const line of errors) {
      let s: ServerState = freshState;
      for (let i = 1; i <= standard.errors; i++) {
        assert.equal(exhausted(standard, s), false, line);
        s = said(standard, s, line);
        assert.equal(s.errors, i, line);
      }
      assert.equal(exhausted(standard, s), true, line);
    }
  });

  test("R32: refused logins and refused senders are errors", () => {
    for (const line of ["AUTH PLAIN", from]) {
      let s: ServerState = { ...after(ehlo), secure: true };
      for (let i = 0; i < standard.errors; i++) s = said(standard, s, line, never);
      assert.equal(exhausted(standard, s), true, line);
    }
  });

  test("R32: recipients refused before any is accepted are errors, and TLS does not forgive them", () => {
    let s = after(ehlo, from);
    for (let i = 0; i < standard.errors; i++) s = said(standard, s, to, never);
    assert.equal(exhausted(standard, s), true);
    assert.equal(exhausted(standard, secured(s)), true);
    assert.equal(exhausted(standard, restarted(s, false)), true);
  });

  test("an accepted message forgives the errors before it", () => {
    const s = { ...after(ehlo, from, to), errors: 2 };
    assert.equal(said(standard, s, "DATA", ok).errors, 0);
    assert.equal(said(standard, s, "BDAT 1 LAST", ok).errors, 0);
    assert.equal(said(standard, s, "BDAT 1", ok).errors, 2);
  });

  test("R32: commands that open no transaction are limited in a row", () => {
    for (const line of ["NOOP", "RSET", "VRFY a", "HELP", ehlo, "HELO a.test"]) {
      let s = after(ehlo);
      const before = s.idle;
      while (!exhausted(standard, s)) {
        s = said(standard, s, line);
        assert.ok(s.idle <= standard.idleCommands, line);
      }
      assert.equal(s.idle, standard.idleCommands, line);
      assert.ok(before < standard.idleCommands);
    }
    assert.equal(after(ehlo, "NOOP", "NOOP", from).idle, 0);
  });

  test("transactions of a session are limited by 421 (RFC 5321 section 3.8)", () => {
    let s = after(ehlo);
    for (let i = 0; i < standard.transactions; i++) {
      assert.equal(shown(step(standard, s, parseCommand(from))), "mail");
      s = said(standard, said(standard, s, from), "RSET");
    }
    assert.equal(shown(step(standard, s, parseCommand(from))), "421 4.7.0");
  });

  test("a size without a limit is taken", () => {
    const p = { ...standard, offer: { ...everything, size: 0 } };
    const line = `${from} SIZE=99999999999999999999`;
    assert.equal(shown(step(p, after(ehlo), parseCommand(line))), "mail");
  });
});

describe("EHLO", () => {
  const keywords = (p: ServerPolicy, s: ServerState): Map<string, string[]> => {
    const { lines } = greetingReply(p, s, "client.test", true);
    return new Map(
      lines.slice(1).map((line) => {
        const [keyword = "", ...args] = line.split(" ");
        return [keyword, args];
      }),
    );
  };

  test("R15 R27: offers what is taken, and nothing else, in every state and policy", () => {
    for (const p of policies()) {
      for (const [secure, loggedIn] of product(booleans, booleans)) {
        const s = {
          ...freshState,
          phase: "greeted",
          esmtp: true,
          secure,
          authenticated: loggedIn,
        } as ServerState;
        const offered = keywords(p, s);
        const why = JSON.stringify({ p, s });
        const taken = (line: string, state: ServerState = s): string =>
          shown(step({ ...p, requireTls: false }, state, parseCommand(line)));
        assert.equal(offered.has("STARTTLS"), taken("STARTTLS") === "starttls", why);
        assert.equal(offered.has("AUTH"), taken("AUTH PLAIN") === "auth", why);
        assert.equal(offered.has("XCLIENT"), taken("XCLIENT ADDR=192.0.2.1") === "xclient", why);
        // Parameters are looked at once MAIL is allowed at all.
        const allowed = { ...s, authenticated: true };
        const params = [["SMTPUTF8", "SMTPUTF8"], ["DSN", "RET=FULL"], [
          "REQUIRETLS",
          "REQUIRETLS",
        ]];
        for (const [keyword = "", param] of params) {
          assert.equal(offered.has(keyword), taken(`${from} ${param}`, allowed) === "mail", why);
        }
        assert.equal(offered.has("BINARYMIME"), false);
        for (const keyword of ["PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES", "CHUNKING"]) {
          assert.deepEqual(offered.get(keyword), [], keyword);
        }
        assert.equal(offered.has("AUTH"), authAvailable(p, s) && !s.authenticated, why);
        if (offered.has("AUTH")) assert.deepEqual(offered.get("AUTH"), p.mechanisms);
        assert.ok(!offered.has("REQUIRETLS") || s.secure);
        assert.ok(!offered.has("AUTH") || s.secure || p.plaintextAuth);
      }
    }
  });

  test("the limits are told as they are (RFC 1870, RFC 9422)", () => {
    const offered = keywords(standard, after(ehlo));
    assert.deepEqual(offered.get("SIZE"), ["1000"]);
    assert.deepEqual(offered.get("LIMITS"), ["RCPTMAX=3", "MAILMAX=3"]);
    assert.deepEqual(keywords({ ...standard, offer: nothing }, freshState).get("SIZE"), []);
  });

  test("is a 250 whose first line begins with our name; HELO gets one line (RFC 5321 section 4.1.1.1)", () => {
    const full = greetingReply(standard, freshState, "client.test", true);
    assert.equal(full.code, 250);
    assert.equal(full.enhanced, undefined);
    assert.match(full.lines[0] ?? "", /^mx\.test( |$)/);
    const short = greetingReply(standard, freshState, "client.test", false);
    assert.equal(short.code, 250);
    assert.deepEqual(short.lines, ["mx.test"]);
  });
});
