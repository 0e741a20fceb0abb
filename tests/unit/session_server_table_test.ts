/**
 * One table over every state, every policy and every command of the server side of a session.
 * @module
 */
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import {
  type Ask,
  freshState,
  type ServerPolicy,
  type ServerState,
  step,
} from "../../src/session/server.ts";
import { parseCommand } from "../../src/wire/command.ts";
import type { Reply } from "../../src/wire/reply.ts";
import { policies, shown, standard, states } from "../support/session.ts";

interface Cell {
  readonly p: ServerPolicy;
  readonly s: ServerState;
}

type Row = readonly [when: (cell: Cell) => boolean, expected: string, source: string];

const always = (): boolean => true;
const fresh = ({ s }: Cell): boolean => s.phase === "fresh";
const greeted = ({ s }: Cell): boolean => s.phase === "greeted";
const inTransaction = (c: Cell): boolean => !fresh(c) && !greeted(c);
const helo = ({ s }: Cell): boolean => !s.esmtp;
const phase = (name: ServerState["phase"]) => ({ s }: Cell): boolean => s.phase === name;
const not = (condition: Row[0]): Row[0] => (cell) => !condition(cell);
const noTls = ({ s }: Cell): boolean => !s.secure;
const cannotAuth = ({ p }: Cell): boolean => p.auth === "off" || p.mechanisms.length === 0;
const exposed = ({ p, s }: Cell): boolean => !s.secure && !p.plaintextAuth;

const all = (expected: string, source: string): readonly Row[] => [[always, expected, source]];

/** Rows behind a row that always holds are not reached. */
const reachable = (rows: readonly Row[]): readonly Row[] =>
  rows.slice(0, rows.findIndex(([when]) => when === always) + 1);

/** What has to be true before MAIL, in this order; then what its parameters need. */
const mail = (...rows: readonly Row[]): readonly Row[] =>
  reachable([
    [fresh, "503 5.5.1", "RFC 5321 4.1.4: EHLO or HELO before a transaction"],
    [inTransaction, "503 5.5.1", "RFC 5321 4.1.4: no nested MAIL"],
    [({ p, s }) => p.requireTls && !s.secure, "530 5.7.0", "RFC 3207 4"],
    [({ p, s }) => p.auth === "required" && !s.authenticated, "530 5.7.0", "RFC 4954 6"],
    [
      ({ p, s }) => s.transactions >= p.transactions,
      "421 4.7.0",
      "behaviour: transactions a session",
    ],
    ...rows,
    [always, "mail", "RFC 5321 4.1.1.2"],
  ]);
const needsEhlo: Row = [helo, "555 5.5.4", "RFC 5321 2.2.1: parameters are ESMTP"];

const rcpt = (...rows: readonly Row[]): readonly Row[] => [
  [phase("bdat"), "503 5.5.1", "RFC 3030 2: only BDAT, RSET and what changes no state after BDAT"],
  [not(inTransaction), "503 5.5.1", "RFC 5321 4.1.1.3: MAIL first"],
  ...rows,
  [({ p, s }) => s.recipients >= p.recipients, "452 4.5.3", "RFC 5321 4.5.3.1.10"],
  [always, "rcpt", "RFC 5321 4.1.1.3"],
];
const rcptDsn: Row = [
  ({ p, s }) => !p.offer.dsn || !s.esmtp,
  "555 5.5.4",
  "RFC 5321 4.1.1.11: not offered",
];
const bdat: readonly Row[] = [
  [phase("rcpt"), "bdat first", "RFC 3030 2"],
  [phase("bdat"), "bdat next", "RFC 3030 2"],
  [phase("mail"), "skip 554 5.5.1", "RFC 3030 2, R11: the octets are taken off the stream"],
  [always, "skip 503 5.5.1", "RFC 3030 2, R11: the octets are taken off the stream"],
];
const auth = (...rows: readonly Row[]): readonly Row[] => [
  [cannotAuth, "502 5.5.1", "RFC 5321 4.2.4: not offered"],
  [exposed, "538 5.7.11", "RFC 4954 6: encryption required"],
  [fresh, "503 5.5.1", "RFC 4954 4: behind EHLO"],
  [helo, "503 5.5.1", "RFC 4954 4: behind EHLO"],
  [({ s }) => s.authenticated, "503 5.5.1", "RFC 4954 4: not twice"],
  [inTransaction, "503 5.5.1", "RFC 4954 4: not in a mail transaction"],
  ...rows,
];
const authKnown = auth([always, "auth", "RFC 4954 4"]);
const vrfy: readonly Row[] = [
  [({ p, s }) => p.auth === "required" && !s.authenticated, "530 5.7.0", "RFC 4954 6"],
  [always, "252 2.5.0", "RFC 5321 3.5.3"],
];

/** Every command against every state: the first row that holds is the answer. */
const table: ReadonlyMap<string, readonly Row[]> = new Map([
  ["HELO client.test", all("helo", "RFC 5321 4.1.4: at any time")],
  ["EHLO client.test", all("helo", "RFC 5321 4.1.4: at any time")],
  ["NOOP", all("250 2.0.0", "RFC 5321 4.1.1.9")],
  ["NOOP ignored words", all("250 2.0.0", "RFC 5321 4.1.1.9")],
  ["HELP", all("214 2.0.0", "RFC 5321 4.1.1.8")],
  ["HELP MAIL", all("214 2.0.0", "RFC 5321 4.1.1.8")],
  ["QUIT", all("quit 221 2.0.0", "RFC 5321 4.1.1.10")],
  ["RSET", all("reset 250 2.0.0", "RFC 5321 4.1.1.5")],
  ["VRFY a", vrfy],
  ["EXPN list", all("502 5.5.1", "RFC 5321 4.2.4")],
  ["BOGUS", all("500 5.5.2", "RFC 5321 4.2.4")],
  ["toString", all("500 5.5.2", "R34")],
  ["DATA now", all("501 5.5.4", "RFC 5321 4.1.1.4: no argument")],
  ["EHLO", all("501 5.5.4", "RFC 5321 4.1.1.1: a name is needed")],
  ["MAIL FROM:a@b.test", all("501 5.1.7", "RFC 5321 4.1.2: angle brackets")],
  ["RCPT TO:<a@>", all("501 5.1.3", "RFC 5321 4.1.2")],
  ["MAIL FROM:<a@b.test> FOO=1", all("555 5.5.4", "RFC 5321 4.1.1.11")],
  ["RCPT TO:<a@b.test> FOO=1", all("555 5.5.4", "RFC 5321 4.1.1.11")],
  ["BDAT many", all("501 5.5.4", "RFC 3030 2")],
  ["STARTTLS", [
    [({ s }) => s.secure, "503 5.5.1", "RFC 3207 4: not inside TLS"],
    [({ p }) => !p.starttls, "502 5.5.1", "RFC 5321 4.2.4: not offered"],
    [fresh, "503 5.5.1", "RFC 3207 4: behind EHLO"],
    [inTransaction, "503 5.5.1", "RFC 5321 4.1.4"],
    [always, "starttls", "RFC 3207 4"],
  ]],
  ["AUTH PLAIN", authKnown],
  ["AUTH PLAIN AGEAYg==", authKnown],
  ["AUTH PLAIN =", authKnown],
  ["auth login", authKnown],
  ["AUTH CRAM-MD5", auth([always, "504 5.5.4", "RFC 4954 4: unrecognized mechanism"])],
  ["AUTH __proto__", auth([always, "504 5.5.4", "R34"])],
  ["XCLIENT ADDR=192.0.2.1", [
    [({ p }) => !p.xclient, "550 5.7.0", "XCLIENT_README, R27"],
    [inTransaction, "503 5.5.1", "XCLIENT_README"],
    [always, "xclient", "XCLIENT_README"],
  ]],
  ["MAIL FROM:<a@b.test>", mail()],
  ["MAIL FROM:<>", mail()],
  ["MAIL FROM:<a@b.test> SIZE=1000", mail(needsEhlo)],
  [
    "MAIL FROM:<a@b.test> SIZE=1001",
    mail(needsEhlo, [({ p }) => p.offer.size > 0, "552 5.3.4", "RFC 1870 6.1"]),
  ],
  ["MAIL FROM:<a@b.test> BODY=7BIT", mail(needsEhlo)],
  ["MAIL FROM:<a@b.test> BODY=8BITMIME", mail(needsEhlo)],
  [
    "MAIL FROM:<a@b.test> BODY=BINARYMIME",
    mail(needsEhlo, [always, "555 5.5.4", "RFC 5321 4.1.1.11: never offered"]),
  ],
  [
    "MAIL FROM:<a@b.test> SMTPUTF8",
    mail(needsEhlo, [({ p }) => !p.offer.smtputf8, "555 5.5.4", "RFC 5321 4.1.1.11"]),
  ],
  ["MAIL FROM:<\u00e4@b.test>", mail([always, "553 5.6.7", "RFC 6531 3.5"])],
  [
    "MAIL FROM:<a@\u00e4.test> SMTPUTF8",
    mail(needsEhlo, [({ p }) => !p.offer.smtputf8, "555 5.5.4", "RFC 5321 4.1.1.11"]),
  ],
  [
    "MAIL FROM:<a@b.test> RET=HDRS",
    mail(needsEhlo, [({ p }) => !p.offer.dsn, "555 5.5.4", "RFC 5321 4.1.1.11"]),
  ],
  [
    "MAIL FROM:<a@b.test> ENVID=x",
    mail(needsEhlo, [({ p }) => !p.offer.dsn, "555 5.5.4", "RFC 5321 4.1.1.11"]),
  ],
  [
    "MAIL FROM:<a@b.test> AUTH=<>",
    mail(needsEhlo, [
      (cell) => cannotAuth(cell) || exposed(cell),
      "555 5.5.4",
      "RFC 5321 4.1.1.11: AUTH is not offered",
    ]),
  ],
  [
    "MAIL FROM:<a@b.test> REQUIRETLS",
    mail(
      needsEhlo,
      [noTls, "555 5.5.4", "RFC 8689 2: offered under TLS only"],
      [({ p }) => !p.offer.requiretls, "555 5.5.4", "RFC 5321 4.1.1.11"],
    ),
  ],
  ["RCPT TO:<a@b.test>", rcpt()],
  ["RCPT TO:<postmaster>", rcpt()],
  [
    "RCPT TO:<\u00e4@b.test>",
    rcpt([({ s }) => !s.smtputf8, "553 5.6.7", "RFC 6531 3.5"]),
  ],
  ["RCPT TO:<a@b.test> NOTIFY=NEVER", rcpt(rcptDsn)],
  ["RCPT TO:<a@b.test> ORCPT=rfc822;a@b.test", rcpt(rcptDsn)],
  [
    "RCPT TO:<a@b.test> ORCPT=utf-8;\u00e4@b.test",
    rcpt(rcptDsn, [({ s }) => !s.smtputf8, "553 5.6.7", "RFC 6533 3: UTF-8 needs SMTPUTF8"]),
  ],
  ["DATA", [
    [phase("rcpt"), "data", "RFC 5321 4.1.1.4"],
    [phase("bdat"), "503 5.5.1", "RFC 3030 2: not DATA and BDAT in one transaction"],
    [phase("mail"), "554 5.5.1", "RFC 5321 3.3: no valid recipients"],
    [always, "503 5.5.1", "RFC 5321 3.3"],
  ]],
  ["BDAT 10", bdat],
  ["BDAT 10 LAST", bdat],
  ["BDAT 0 LAST", bdat],
]);

/** Verbs of the receiving side (RFC 5321 section 4.1.1 and the extensions we speak). */
const verbs =
  "HELO EHLO MAIL RCPT DATA BDAT RSET NOOP QUIT VRFY EXPN HELP STARTTLS AUTH XCLIENT BAD UNKNOWN";

describe("step: every state, every policy, every command", () => {
  test("the table has every verb", () => {
    const covered = new Set([...table.keys()].map((line) => parseCommand(line).verb));
    for (const verb of verbs.split(" ")) {
      assert.ok(covered.has(verb as never), `no line of ${verb}`);
    }
  });

  for (const [line, rows] of table) {
    test(`R15 R21 R32: ${line}`, () => {
      const command = parseCommand(line);
      const met = new Set<Row>();
      const allStates = [...states()];
      for (const p of policies()) {
        for (const s of allStates) {
          const cell = { p, s };
          const row = rows.find(([when]) => when(cell));
          if (row === undefined) assert.fail(`no expectation for ${JSON.stringify(cell)}`);
          met.add(row);
          const ask = step(p, s, command);
          if (shown(ask) !== row[1]) {
            assert.equal(shown(ask), row[1], `${row[2]}: ${JSON.stringify(cell)}`);
          }
          if ("reply" in ask) wellFormed(ask.reply);
        }
      }
      for (const row of rows) assert.ok(met.has(row), `no state reaches the row: ${row[2]}`);
    });
  }

  test("an ask carries what the command said", () => {
    const greetedState = { ...freshState, phase: "greeted", esmtp: true } as const;
    const inRcpt = { ...greetedState, phase: "rcpt", recipients: 1 } as const;
    const asked = (s: ServerState, line: string): Ask => step(standard, s, parseCommand(line));
    assert.deepEqual(asked(freshState, "HELO a.test"), {
      ask: "helo",
      name: "a.test",
      esmtp: false,
    });
    assert.deepEqual(asked(freshState, "EHLO [192.0.2.1]"), {
      ask: "helo",
      name: "[192.0.2.1]",
      esmtp: true,
    });
    const mailAsk = asked(greetedState, "MAIL FROM:<A@B.test> SIZE=5 BODY=8BITMIME");
    assert.ok(mailAsk.ask === "mail" && mailAsk.from?.address === "A@B.test");
    assert.deepEqual(mailAsk.params, { size: 5, body: "8BITMIME" });
    const nullAsk = asked(greetedState, "MAIL FROM:<>");
    assert.ok(nullAsk.ask === "mail" && nullAsk.from === null);
    const rcptAsk = asked(inRcpt, "RCPT TO:<c@d.test> NOTIFY=DELAY");
    assert.ok(rcptAsk.ask === "rcpt" && rcptAsk.to.address === "c@d.test");
    assert.deepEqual(rcptAsk.params, { notify: ["DELAY"] });
    assert.deepEqual(asked(inRcpt, "BDAT 7 LAST"), {
      ask: "bdat",
      size: 7,
      last: true,
      first: true,
    });
    const skipped = asked(greetedState, "BDAT 7");
    assert.ok(skipped.ask === "skip" && skipped.size === 7);
    const secure = { ...greetedState, secure: true };
    assert.deepEqual(asked(secure, "AUTH plain AGEAYg=="), {
      ask: "auth",
      mechanism: "PLAIN",
      initial: "AGEAYg==",
    });
  });
});

/** RFC 2034: an enhanced status code of the reply's class, in every reply of 2yz, 4yz and 5yz. */
function wellFormed(r: Reply): void {
  const digit = String(r.code)[0];
  if (!/^[245]\.[0-9]{1,3}\.[0-9]{1,3}$/.test(r.enhanced ?? "") || r.enhanced?.[0] !== digit) {
    assert.fail(`${r.code} has the enhanced status code ${r.enhanced}`);
  }
  assert.ok(r.code >= 200 && r.code <= 599 && digit !== "3");
}
