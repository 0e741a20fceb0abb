/**
 * Header, reply, authenticators, observers, shadow mode.
 * @module
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as Effect from "effect/Effect";
import { PASS } from "../../src/pipeline/algebra.ts";
import type { Reply } from "../../src/wire/reply.ts";
import type { HeaderView } from "../../src/plugin/facts.ts";
import { HeaderBlock } from "../../src/wire/headers.ts";
import { engine, hooks, mailbox } from "./pipeline_host.ts";

const block = () => new HeaderBlock(new TextEncoder().encode("Subject: hi\r\nTo: b\r\n\r\n"));
const text = (header: HeaderBlock) => new TextDecoder().decode(header.apply());

describe("header", () => {
  test("edits of every hook are made once all is well", async () => {
    const { session, tx, outcome } = await engine([
      hooks("a", { header: (header) => header.append("X-A", "1") }),
      hooks("b", {
        header: async (header) => {
          assert.equal(header.get("x-a"), undefined, "sees another plugin's edit");
          header.prepend("X-B", "2");
          header.remove("To");
          header.rename("Subject", "X-Subject");
        },
      }),
    ]);
    const header = block();
    await outcome(session.header(tx, header));
    assert.equal(text(header), "X-B: 2\r\nX-Subject: hi\r\nX-A: 1\r\n\r\n");
    assert.equal(tx.trace.entries[1]?.edits?.length, 3);
  });

  test("a hook that fails leaves none of its edits", async () => {
    const { session, tx } = await engine([
      hooks("a", {
        header: (header) => {
          header.append("X-A", "1");
          throw new Error("half way");
        },
      }, { onError: "pass" }),
      hooks("b", { header: (header) => header.append("X-B", "1") }),
    ]);
    const header = block();
    session.header(tx, header);
    assert.deepEqual(header.edits.map(({ name }) => name), ["X-B"]);
  });

  test("R38: a hook over its budget edits nothing, and cannot later", async () => {
    let late: HeaderView | undefined;
    const { session, tx, host, run } = await engine([
      hooks("a", {
        header: (header) => {
          late = header;
          header.append("X-A", "1");
          return new Promise(() => {});
        },
      }, { onError: "pass" }),
    ]);
    const header = block();
    const answered = session.header(tx, header);
    assert.ok(Effect.isEffect(answered));
    const asked = run(answered);
    await host.clock.advance(1_000);
    await asked;
    late?.append("X-Late", "1");
    assert.equal(header.edited, false);
  });

  test("R25: an edit that cannot be written throws at the plugin's own line", async () => {
    for (
      const [name, value] of [["X-A", "a\r\nBcc: x"], ["X A", "v"], ["X:", "v"], ["", "v"], [
        "X",
        "\0",
      ]]
    ) {
      const { session, tx, host } = await engine([
        hooks("a", {
          header: (header) => {
            assert.throws(() => header.append(name!, value!), TypeError);
            assert.throws(() => header.prepend(name!, value!), TypeError);
            assert.throws(() => header.replace(name!, value!), TypeError);
          },
        }),
      ]);
      session.header(tx, block());
      assert.deepEqual(host.failures, []);
    }
  });
});

describe("shadow mode", () => {
  test("changes nothing, and stands in the trace", async () => {
    const refuse = { verdict: "refuse", code: 550, enhanced: "5.7.1", text: "No" } as const;
    const { session, tx, outcome } = await engine([
      hooks("s", {
        rcpt: () => refuse,
        header: (header) => header.append("X-S", "1"),
        end: async () => ({ verdict: "score", points: 9, symbol: "S" }),
        reply: () => ({ text: "changed" }),
        body: {
          transform: (chunk) => chunk.fill(0),
          scan: () => ({ verdict: "discard", reason: "r" }),
        },
      }, { mode: "shadow" }),
    ]);
    const header = block();
    assert.equal(session.rcpt(tx, mailbox("a@b.test"), {}), PASS);
    assert.equal(session.header(tx, header), PASS);
    assert.equal(header.edited, false);
    const body = session.body(tx)!;
    assert.equal(body.observeOnly, true);
    const chunk = new Uint8Array([1, 2, 3]);
    assert.equal(body.push(chunk), chunk);
    assert.deepEqual([...chunk], [1, 2, 3]);
    assert.equal(body.finish(), PASS);
    assert.equal(await outcome(session.end(tx)), PASS);
    assert.equal(tx.score, 0);
    const reply = { code: 550, enhanced: "5.1.1", lines: ["x"] };
    assert.equal(session.reply(reply), reply);
    assert.deepEqual(
      tx.trace.entries.map(({ stage, verdict, shadow }) => [stage, verdict, shadow]),
      [
        ["rcpt", "refuse", true],
        ["header", "pass", true],
        ["body", "discard", true],
        ["end", "score", true],
      ],
    );
    assert.equal(tx.trace.entries[1]?.edits?.[0]?.name, "X-S");
    assert.deepEqual(session.stages.transform, false);
    assert.deepEqual(session.stages.observe, true);
  });

  test("a failure is counted and changes nothing", async () => {
    const { session, tx, host } = await engine([
      hooks("s", { end: () => null as never }, { mode: "shadow" }),
    ]);
    assert.equal(session.end(tx), PASS);
    assert.equal(host.failures[0]?.shadow, true);
  });

  test("off is not even started", async () => {
    const { pipeline } = await engine([{
      module: () => assert.fail("started"),
      mode: "off",
    }]);
    assert.deepEqual(pipeline.plugins, []);
  });
});

describe("reply", () => {
  const answer = async (change: unknown, reply: Reply) => {
    const { session, host } = await engine([hooks("r", { reply: () => change as never })]);
    return { reply: session.reply(reply), failures: host.failures.length };
  };
  const refusal: Reply = { code: 550, enhanced: "5.7.1", lines: ["secret", "reason"] };

  test("another text and code of the same class", async () => {
    const changed = await answer({ code: 554, text: "No" }, refusal);
    assert.deepEqual(changed.reply, { code: 554, enhanced: "5.7.1", lines: ["No"] });
  });

  test("the original where the answer is none, or nonsense", async () => {
    assert.equal((await answer(undefined, refusal)).reply, refusal);
    for (
      const change of [{ code: 250 }, { code: 5555 }, { text: "a\r\nb" }, { text: 1 }, null, 5, {
        then: () => {},
      }]
    ) {
      const { reply, failures } = await answer(change, refusal);
      assert.equal(reply, refusal);
      assert.equal(failures, 1);
    }
  });

  test("what is protocol stays: the EHLO list, a SASL challenge", async () => {
    const ehlo: Reply = { code: 250, enhanced: undefined, lines: ["mx", "PIPELINING"] };
    assert.deepEqual((await answer({ text: "Hi" }, ehlo)).reply.lines, ehlo.lines);
    const challenge: Reply = { code: 334, enhanced: undefined, lines: ["VXNlcm5hbWU6"] };
    assert.equal((await answer({ text: "Hi" }, challenge)).reply, challenge);
  });
});

describe("authenticators", () => {
  const credentials = { mechanism: "PLAIN", user: "ann", password: "hunter2 " };
  const auth = (name: string, verify: (given: typeof credentials) => unknown, more = {}) =>
    hooks(name, { auth: { mechanisms: ["PLAIN"], verify: verify as never } }, more);

  test("are asked in order until one knows; the mechanism is the one used", async () => {
    const { session, run, pipeline } = await engine([
      auth("a", () => undefined),
      auth("b", async () => ({ user: "ann@x.test", mechanism: "FORGED" })),
      auth("c", () => assert.fail("asked")),
    ]);
    assert.deepEqual(await run(session.authenticate(credentials)), {
      identity: { user: "ann@x.test", mechanism: "PLAIN" },
      plugin: "b",
    });
    assert.deepEqual(pipeline.mechanisms("mx"), ["PLAIN"]);
  });

  test("a refusal ends it; without an opinion there is none", async () => {
    const refuse = { verdict: "refuse", code: 535, enhanced: "5.7.8", text: "No" };
    const one = await engine([auth("a", () => refuse), auth("b", () => assert.fail("asked"))]);
    assert.deepEqual(await one.run(one.session.authenticate(credentials)), {
      refused: refuse,
      plugin: "a",
    });
    const none = await engine([auth("a", () => undefined)]);
    assert.deepEqual(await none.run(none.session.authenticate(credentials)), { none: true });
    const other = { ...credentials, mechanism: "LOGIN" };
    assert.deepEqual(await none.run(none.session.authenticate(other)), { none: true });
  });

  test("a shadow authenticator lets nobody in and is not offered", async () => {
    const { session, run, pipeline } = await engine([
      auth("a", () => ({ user: "ann" }), { mode: "shadow" }),
    ]);
    assert.deepEqual(await run(session.authenticate(credentials)), { none: true });
    assert.deepEqual(pipeline.mechanisms("mx"), []);
    assert.equal(session.stages.auth, false);
  });

  test("R38: one that breaks or hangs is a temporary failure", async () => {
    const { session, run, host } = await engine([auth("a", () => new Promise(() => {}))]);
    const asked = run(session.authenticate(credentials));
    await host.clock.advance(1_000);
    const outcome = await asked;
    assert.ok("refused" in outcome);
    assert.deepEqual([outcome.refused.code, outcome.refused.enhanced], [454, "4.7.0"]);
    for (const answer of [{}, { user: "" }, { user: "a\nb" }, { user: 1 }, true, "ann"]) {
      const broken = await engine([auth("a", () => answer)]);
      assert.ok("refused" in await broken.run(broken.session.authenticate(credentials)));
    }
  });

  test("R18: a password never reaches a report, a trace or its base64", async () => {
    const plain = btoa(`\0${credentials.user}\0${credentials.password}`);
    for (const asynchronous of [false, true]) {
      const { session, run, host } = await engine([
        auth("a", ({ password }) => {
          const cause = new Error(`bind as ann with ${password} (${btoa(password)}, ${plain})`);
          if (asynchronous) return Promise.reject(cause);
          throw cause;
        }),
      ]);
      await run(session.authenticate(credentials));
      const seen = JSON.stringify([host.failures, session.trace.entries]);
      for (const secret of [credentials.password.trim(), btoa(credentials.password), plain]) {
        assert.ok(!seen.includes(secret), seen);
      }
    }
  });
});

describe("observers", () => {
  test("are told; what they throw or reject with is counted and costs nothing else", async () => {
    const told: string[] = [];
    const reply: Reply = { code: 250, enhanced: "2.0.0", lines: ["Ok"] };
    const { pipeline, session, tx, host } = await engine([
      hooks("broken", {
        on: {
          opened: () => {
            throw new Error("opened");
          },
          reloaded: () => {
            throw new Error("reloaded");
          },
          delivered: (async () => await Promise.reject(new Error("delivered"))) as () => void,
        },
      }),
      hooks("p", {
        on: {
          opened: ({ id }) => void told.push(`opened ${id}`),
          delivered: ({ id }, { upstream }) => void told.push(`delivered ${id} ${upstream}`),
          refused: (_, { stage }) => void told.push(`refused ${stage}`),
          errorReply: ({ id }, { code }) => void told.push(`error ${id} ${code}`),
          loginFailed: (_, user) => void told.push(`login ${user}`),
          reloaded: (names) => void told.push(`reloaded ${names}`),
          closed: () => void told.push("closed"),
        },
      }),
    ]);
    pipeline.reloaded();
    session.opened();
    session.delivered(tx, { upstream: "mailbox", reply });
    session.refused(tx, { stage: "rcpt", reply });
    session.errorReply({ code: 550, enhanced: "5.1.1", lines: ["no"] });
    session.loginFailed("ann");
    session.closed();
    session.closed();
    assert.deepEqual(told, [
      "reloaded broken,p",
      "opened s1",
      "delivered s1.1 mailbox",
      "refused rcpt",
      "error s1 550",
      "login ann",
      "closed",
    ]);
    await new Promise((resolve) => setTimeout(resolve, 0));
    assert.deepEqual(host.failures.map(({ stage, kind }) => [stage, kind]), [
      ["on", "threw"],
      ["on", "threw"],
      ["on", "rejected"],
    ]);
  });
});
