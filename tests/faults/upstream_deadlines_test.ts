/**
 * R4: a server that is silent: each command has its time (RFC 5321 section 4.5.3.2), counted from the reply before it.
 * @module
 */
import * as Effect from "effect/Effect";
import * as Fiber from "effect/Fiber";
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import type { LegDown } from "../../src/upstream/leg.ts";
import type { Reply } from "../../src/wire/reply.ts";
import { raw, type UpstreamEvent } from "../support/scripted_upstream.ts";
import {
  body,
  outcome,
  recipient,
  said,
  shown,
  type World,
  world,
} from "../support/upstream_world.ts";

/** Runs until the server has met the step, and turns the clock to one millisecond before the deadline, then to it. */
async function timedOut(
  w: World,
  asked: Effect.Effect<Reply, LegDown>,
  step: UpstreamEvent,
  ms: number,
): Promise<string> {
  const fiber = Effect.runFork(asked);
  await w.server.waitFor(step);
  await w.due(ms);
  w.pass(ms - 1);
  assert.equal(fiber.pollUnsafe(), undefined, `${step} timed out too soon`);
  w.pass(1);
  const got = await outcome(Fiber.join(fiber));
  assert.ok("_tag" in got && got.message.endsWith("timed out"));
  return shown(got);
}

describe("a server that is silent", () => {
  const { promise: silence } = Promise.withResolvers<void>();
  const phases = {
    banner: "connect",
    ehlo: "connect",
    mail: "envelope",
    rcpt: "envelope",
  } as const;

  for (const [step, phase] of Object.entries(phases)) {
    test(`R4: at ${step}`, async () => {
      await using w = await world({ [step]: silence, capabilities: [] });
      const { upstreamCommand } = w.timeouts;
      const asked = w.leg().rcpt(recipient("c@d.test"));
      const got = await timedOut(w, asked, step as UpstreamEvent, upstreamCommand);
      assert.equal(got, `down in ${phase}`);
      assert.equal(w.pool.size, 0);
      assert.equal(w.pool.servers[0]?.failures, 1);
    });
  }

  test("R4: in STARTTLS, AUTH, XCLIENT and XFORWARD", async () => {
    const cases = [
      ["starttls", { tls: "require" }],
      ["auth", { auth: { user: "u", password: "p" } }],
      ["xclient", { identity: "xclient" }],
      ["xforward", { identity: "xforward" }],
    ] as const;
    const capabilities = ["STARTTLS", "AUTH PLAIN", "XCLIENT NAME", "XFORWARD NAME"];
    for (const [step, options] of cases) {
      await using w = await world({ [step]: silence, capabilities }, options);
      const asked = w.leg().rcpt(recipient("c@d.test"));
      assert.match(await timedOut(w, asked, step, w.timeouts.upstreamCommand), /^down in/, step);
    }
  });

  test("R4: at DATA", async () => {
    await using w = await world({ data: silence });
    const leg = w.leg();
    await said(leg.rcpt(recipient("c@d.test")));
    assert.equal(
      await timedOut(w, leg.data(), "data", w.timeouts.upstreamCommand),
      "down in data",
    );
  });

  test("R2 R4: at the dot, which has a time of its own; then the outcome is unknown", async () => {
    await using w = await world([{ dot: silence }, {}]);
    const leg = w.leg();
    await said(leg.rcpt(recipient("c@d.test")));
    await said(leg.data());
    leg.write(body);
    const { upstreamDataEnd, upstreamCommand } = w.timeouts;
    assert.ok(upstreamDataEnd > upstreamCommand);
    assert.equal(await timedOut(w, leg.finish(), "dot", upstreamDataEnd), "down in dot");
    assert.equal(w.servers[1]?.connections.length, 0);
  });

  test("R4: the next server has all its time", async () => {
    await using w = await world([{ mail: silence }, {}]);
    const judged = said(w.leg().rcpt(recipient("c@d.test")));
    await w.server.waitFor("mail");
    w.pass(w.timeouts.upstreamCommand);
    assert.equal(await judged, "250 2.1.5");
    assert.equal(w.servers[1]?.connections.length, 1);
  });

  test("a RSET without an answer does not keep the connection", async () => {
    await using w = await world({ rset: silence });
    const leg = w.leg();
    await said(leg.rcpt(recipient("c@d.test")));
    leg.release();
    await w.server.waitFor("rset");
    w.pass(w.timeouts.upstreamCommand);
    assert.equal(w.pool.size, 0);
  });
});

describe("a server that is slow", () => {
  test("each of several commands in one packet has its own time", async () => {
    const [mail, rcpt] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    await using w = await world({
      mail: [mail.promise, "250 2.1.0 ok"],
      rcpt: [rcpt.promise, "250 2.1.5 ok"],
    });
    const judged = said(w.leg().rcpt(recipient("c@d.test")));
    const almost = w.timeouts.upstreamCommand - 1;
    await w.server.waitFor("mail");
    w.pass(almost);
    mail.resolve();
    await w.server.waitFor("rcpt");
    await w.due(w.timeouts.upstreamCommand);
    w.pass(almost);
    rcpt.resolve();
    assert.equal(await judged, "250 2.1.5");
  });

  test("no deadline runs in the body: the writer has its own", async () => {
    await using w = await world();
    const leg = w.leg();
    await said(leg.rcpt(recipient("c@d.test")));
    await said(leg.data());
    w.pass(24 * 3_600_000);
    leg.write(body);
    assert.equal(await said(leg.finish()), "250 2.0.0");
  });

  test("a reply in drips has no more time than another (R31)", async () => {
    const drips = Array.from({ length: 4 }, () => Promise.withResolvers<void>());
    await using w = await world({
      mail: drips.flatMap(({ promise }) => [raw("250-x\r\n"), promise]),
      capabilities: [],
    });
    const judged = said(w.leg().rcpt(recipient("c@d.test")));
    await w.server.waitFor("mail");
    await w.due(w.timeouts.upstreamCommand);
    for (const drip of drips) {
      w.pass(w.timeouts.upstreamCommand / drips.length);
      drip.resolve();
      await turns();
    }
    assert.equal(await judged, "down in envelope");
  });
});

/** Some turns of the event loop. */
async function turns(): Promise<void> {
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
}
