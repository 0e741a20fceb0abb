/**
 * R24: a server that says something else than a reply, or a reply that is no answer: at every step, and never a success.
 * @module
 */
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import type { LegDown } from "../../src/upstream/leg.ts";
import { endless, fin, raw, type Reaction, rst } from "../support/scripted_upstream.ts";
import {
  body,
  outcome,
  recipient,
  said,
  until,
  type World,
  world,
} from "../support/upstream_world.ts";

const steps = ["banner", "ehlo", "mail", "rcpt", "data", "dot"] as const;
type At = typeof steps[number];
const phaseOf: Record<At, string> = {
  banner: "connect",
  ehlo: "connect",
  mail: "envelope",
  rcpt: "envelope",
  data: "data",
  dot: "dot",
};

/** No reply at all, wherever it is said. */
const malformed: Readonly<Record<string, Reaction>> = {
  "a code that changes between lines": raw("250-one\r\n550 two\r\n"),
  "a code that changes to another success": raw("250-one\r\n251 two\r\n"),
  "100": "100 wait",
  "199": "199 wait",
  "600": "600 what",
  "999": "999 what",
  "000": "000 what",
  "two digits": "25 ok",
  "four digits": "2500 ok",
  "a sign": "+250 ok",
  "a space in front": " 250 ok",
  "other digits": "\u0662\u0665\u0660 ok",
  "no space": "250ok",
  "words": "what do you want",
  "an empty line": raw("\r\n"),
  "a bare LF": raw("250 ok\n"),
  "a bare LF behind a line": raw("250-ok\r\n250 ok\n"),
  "a bare CR": raw("250 ok\r250 ok\r\n"),
  "NUL": raw("250 \0ok\r\n"),
  "ESC": raw("250 \x1b[2Jok\r\n"),
  "an endless line": endless("x"),
  "an endless good line": endless("250 ok "),
  "an endless reply": endless("250-more\r\n"),
  "a line that is too long": raw(`250 ${"x".repeat(10_000)}\r\n`),
  "half a line, then FIN": [raw("250 o"), fin()],
  "a line without its LF, then FIN": [raw("250 ok\r"), fin()],
  "half a reply, then FIN": [raw("250-ok\r\n"), fin()],
  "FIN": fin(),
  "RST": rst(),
  "an HTTP reply": raw("HTTP/1.1 200 OK\r\n\r\n"),
};

/** Well-formed replies that do not belong there. */
const misplaced: Readonly<Record<string, readonly At[]>> = {
  "421 4.3.2 going down": ["banner", "ehlo", "mail", "rcpt", "data"],
  "354 go": ["banner", "ehlo", "mail", "rcpt", "dot"],
  "334 eA==": ["banner", "ehlo", "mail", "rcpt", "data", "dot"],
  "300 what": ["banner", "ehlo", "mail", "rcpt", "data", "dot"],
  "250 ok": ["banner", "data"],
  "220 hi": ["ehlo", "data"],
  "221 bye": ["banner", "ehlo", "data"],
};

/** Goes through a transaction until something is no success. */
async function transaction(w: World): Promise<string> {
  const result = await w.deliver();
  for (const server of w.servers) {
    for (const message of server.messages) {
      assert.ok(!result.startsWith("2") || message.acknowledged);
    }
  }
  return result;
}

describe("R24: what is no reply", () => {
  for (const [name, reaction] of Object.entries(malformed)) {
    test(`R4 R24: ${name}, at every step`, async () => {
      for (const step of steps) {
        for (const capabilities of [["PIPELINING"], []]) {
          await using w = await world({ [step]: reaction, capabilities });
          assert.equal(await transaction(w), `down in ${phaseOf[step]}`, step);
          await until(() => w.pool.size === 0, "the connection is gone");
        }
      }
    });
  }
});

describe("R24: what is no answer", () => {
  for (const [reply, places] of Object.entries(misplaced)) {
    for (const step of places) {
      test(`R4 R24: ${reply} to ${step}`, async () => {
        await using w = await world({ [step]: reply });
        assert.equal(await transaction(w), `down in ${phaseOf[step]}`);
        await until(() => w.pool.size === 0, "the connection is gone");
        assert.equal(w.server.messages.length, step === "dot" ? 1 : 0);
      });
    }
  }

  test("R4: 421 to the dot is an answer, and the end of the connection", async () => {
    await using w = await world({ dot: "421 4.3.2 going down" });
    assert.equal(await transaction(w), "421 4.3.2");
    assert.equal(w.pool.size, 0);
  });

  test("R24: two replies to one command: the second is nobody's answer", async () => {
    for (const step of ["mail", "rcpt"] as const) {
      await using w = await world({
        [step]: raw("250 2.1.0 ok\r\n250 2.1.0 ok\r\n"),
        capabilities: [],
      });
      assert.match(await transaction(w), /^down in/, step);
      assert.equal(w.server.messages.length, 0);
    }
  });

  test("R24: a success behind 354 in one packet is not the answer to the dot", async () => {
    for (const early of ["250 2.0.0 queued", "550 5.7.1 no", "junk"]) {
      await using w = await world({ data: raw(`354 go\r\n${early}\r\n`) });
      assert.match(await transaction(w), /^down in (data|body)$/, early);
      assert.equal(w.server.messages.length, 0);
      assert.equal(w.pool.size, 0);
    }
  });

  test("R6 R24: a success behind the answer to the dot is not the next client's", async () => {
    await using w = await world({
      dot: ({ nth }) => nth === 1 ? raw("250 2.0.0 one\r\n250 2.0.0 two\r\n") : "550 5.7.1 no",
    });
    assert.equal(await transaction(w), "250 2.0.0");
    assert.equal(await transaction(w), "550 5.7.1");
    assert.equal(w.server.connections.length, 2);
  });

  test("R24: replies in advance are no answers", async () => {
    await using w = await world({ banner: raw("220 hi\r\n" + "250 ok\r\n".repeat(5)) });
    assert.match(await transaction(w), /^down in/);
    assert.equal(w.server.messages.length, 0);
  });
});

describe("in mid-body", () => {
  const events: Readonly<Record<string, readonly [Reaction, number | undefined]>> = {
    "552": ["552 5.3.4 too big", 552],
    "554 in two lines": [raw("554-5.6.0 no\r\n554 5.6.0 never\r\n"), 554],
    "451": ["451 4.3.0 later", 451],
    "421 and FIN": [["421 4.3.2 bye", fin()], 421],
    "250": ["250 2.0.0 queued", 250],
    "354": ["354 go on", 354],
    "garbage": ["what?", undefined],
    "999": ["999 x", undefined],
    "FIN": [fin(), undefined],
    "RST": [rst(), undefined],
  };
  for (const [name, [reaction, code]] of Object.entries(events)) {
    test(`R3 R4 R24: ${name}: told once, never a success`, async () => {
      await using w = await world([{ body: { after: 1, then: reaction } }, {}]);
      const leg = w.leg();
      await said(leg.rcpt(recipient("c@d.test")));
      assert.equal(await said(leg.data()), "354");
      let told = 0;
      const failure = new Promise<LegDown>((resolve) => {
        leg.failed = (down) => {
          told += 1;
          resolve(down);
        };
      });
      leg.write(body);
      const down = await failure;
      assert.equal(down.phase, "body");
      assert.equal(down.reply?.code, code);
      for (let i = 0; i < 3; i++) assert.equal(leg.write(body), true);
      const finished = await outcome(leg.finish(body));
      assert.ok("_tag" in finished && finished.phase === "body");
      assert.equal(finished.reply?.code, code);
      leg.release();
      assert.equal(told, 1);
      await w.server.waitFor("close");
      assert.equal(w.server.messages.length, 0);
      assert.equal(w.servers[1]?.connections.length, 0);
      assert.equal(w.pool.size, 0);
    });
  }
});

test("R4: what a server says before it was asked is not the answer to DATA", async () => {
  const { promise: gate, resolve: open } = Promise.withResolvers<void>();
  await using w = await world({ rcpt: ["250 2.1.5 ok", gate, "554 5.3.2 too slow", fin()] });
  const leg = w.leg();
  assert.equal(await said(leg.rcpt(recipient("c@d.test"))), "250 2.1.5");
  open();
  await until(() => w.pool.size === 0, "the connection is gone");
  const got = await outcome(leg.data());
  assert.ok("_tag" in got && got.phase === "data" && got.reply === undefined);
});

describe("at the dot", () => {
  for (const [name, reaction] of [["FIN", fin()], ["RST", rst()], ["garbage", "?"]] as const) {
    test(`R1 R2: ${name} instead of the reply: the outcome is unknown, and nobody else is asked`, async () => {
      await using w = await world([{ dot: reaction }, {}]);
      assert.equal(await w.deliver(), "down in dot");
      assert.equal(w.server.messages.length, 1);
      assert.equal(w.servers[1]?.connections.length, 0);
    });
  }

  test("R1 R5: the reply is the server's, whatever it is", async () => {
    for (const reply of ["250 2.0.0", "250", "554 5.7.1", "552", "452 4.3.1", "450"]) {
      await using w = await world({ dot: `${reply} text` });
      assert.equal(await w.deliver(), reply);
      assert.equal(w.server.messages.length, 1);
    }
  });
});
