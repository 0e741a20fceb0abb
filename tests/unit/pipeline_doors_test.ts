/**
 * The Effect door and the testing door, on the one engine.
 * @module
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as Context from "effect/Context";
import * as Data from "effect/Data";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as Tracer from "effect/Tracer";
import {
  Capabilities,
  type EffectPlugin,
  fromEffect,
  PluginError,
  settled,
} from "../../src/plugin/effect.ts";
import { runPlugin } from "../../src/testing/mod.ts";

class Blocked extends Context.Service<Blocked, { has(domain: string): Effect.Effect<boolean> }>()(
  "test/Blocked",
) {}

describe("Effect door", () => {
  const released: string[] = [];
  const layer = () =>
    Layer.effect(
      Blocked,
      Effect.acquireRelease(
        Effect.succeed({
          has: (domain: string) =>
            domain === "slow.test" ? Effect.as(Effect.yieldNow, true) : Effect.succeed(
              domain === "bad.test",
            ),
        }),
        () => Effect.sync(() => void released.push("released")),
      ),
    );
  const module = fromEffect<Blocked>(
    (edge): EffectPlugin<Blocked> => ({
      name: "blocked",
      hooks: {
        rcpt: (to) =>
          Effect.map(
            Blocked.use((blocked) => blocked.has(to.domain)),
            (bad) => bad ? edge.refuse(550, "5.7.1", "Blocked") : undefined,
          ),
        data: () => Effect.fail(new Error("typed")),
        end: () => Effect.die(new Error("defect")),
        header: () => Effect.never,
        auth: {
          mechanisms: ["PLAIN", "XOAUTH2", "EXTERNAL"],
          verify: ({ user }) => Effect.succeed({ user, mechanism: "PLAIN" }),
          token: ({ token }) =>
            Effect.map(
              Blocked.use((blocked) => blocked.has(`${token}.test`)),
              (bad) => bad ? undefined : { user: token, mechanism: "XOAUTH2" },
            ),
          certificate: ({ subject, mechanism }) => Effect.succeed({ user: subject, mechanism }),
        },
        body: {
          scan: (content) =>
            Effect.promise(async () => {
              let octets = 0;
              for await (const chunk of content) octets += chunk.length;
              return edge.score(octets, "OCTETS");
            }),
        },
      },
    }),
    layer,
  );

  test("hooks with resources; those that do not suspend answer at once", async () => {
    const plugin = await runPlugin(module);
    await plugin.mail("a@x.test");
    assert.equal((await plugin.rcpt("a@bad.test")).verdict.verdict, "refuse");
    assert.equal((await plugin.rcpt("a@good.test")).verdict.verdict, "pass");
    assert.equal((await plugin.rcpt("a@slow.test")).verdict.verdict, "refuse");
    assert.equal(plugin.tx.recipients.length, 1);
    assert.ok("identity" in await plugin.authenticate("ann", "x"));
    assert.ok("none" in await plugin.authenticateToken("", "bad", "XOAUTH2"));
    assert.ok("none" in await plugin.authenticateToken("", "good", "OAUTHBEARER"));
    assert.ok("identity" in await plugin.authenticateToken("", "good", "XOAUTH2"));
    const certificate = { subject: "ann", fingerprint: "00".repeat(32) };
    assert.ok("identity" in await plugin.authenticateCertificate("", certificate));
    assert.equal(plugin.session.identity?.mechanism, "EXTERNAL");
    await plugin.body("abc", "de");
    assert.equal(plugin.tx.score, 5);
    await plugin.close();
    assert.deepEqual(released, ["released"]);
  });

  test("R38: failures and defects are the plugin's failure; one that hangs is interrupted", async () => {
    const plugin = await runPlugin(module);
    await plugin.mail("");
    assert.equal((await plugin.data()).verdict.verdict, "defer");
    assert.equal((await plugin.end()).verdict.verdict, "defer");
    const asked = plugin.header("Subject: x");
    await plugin.clock.advance(5_000);
    assert.equal((await asked).verdict.verdict, "defer");
    assert.deepEqual(plugin.failures.map(({ kind }) => kind), ["threw", "threw", "over-budget"]);
  });

  test("a plugin without resources, made by an Effect", async () => {
    const plugin = await runPlugin(
      fromEffect((edge): Effect.Effect<EffectPlugin> =>
        Effect.succeed({
          name: "plain",
          onError: "pass",
          hooks: {
            helo: () => Effect.succeed(edge.delay(5)),
            connect: () => Effect.fail("x"),
          },
        })
      ),
    );
    assert.equal((await plugin.helo("x")).delayMs, 5);
    assert.equal((await plugin.connect()).verdict.verdict, "pass");
  });
});

class Down extends Data.TaggedError("Down")<{ readonly service: string }> {}

describe("Effect door: services, failures, interruption", () => {
  test("the edge is a service, in hooks and in layers; state answers are settled", async () => {
    class Counter
      extends Context.Service<Counter, { next(): Effect.Effect<number, PluginError> }>()(
        "test/Counter",
      ) {}
    const layer = () =>
      Layer.effect(
        Counter,
        Effect.map(Capabilities, ({ state }) => ({
          next: () => settled(state.add("n", 1, 60_000)),
        })),
      );
    const plugin = await runPlugin(
      fromEffect<Counter>((): EffectPlugin<Counter | Capabilities> => ({
        name: "counted",
        hooks: {
          mail: Effect.fnUntraced(function* (from) {
            const edge = yield* Capabilities;
            const counter = yield* Counter;
            const count = yield* counter.next();
            return count > 1 ? edge.defer(450, "4.7.1", `Not again ${from?.domain}`) : undefined;
          }),
          rcpt: () => Effect.map(Capabilities, (edge) => [edge.score(1, "A"), edge.score(2, "B")]),
        },
      }), layer),
    );
    assert.equal((await plugin.mail("a@b.test")).verdict.verdict, "pass");
    await plugin.rcpt("c@d.test");
    assert.equal(plugin.tx.score, 3);
    const { verdict } = await plugin.mail("a@b.test");
    assert.ok(verdict.verdict === "defer" && verdict.text === "Not again b.test");
  });

  test("a typed failure is what recover makes of it; a defect and what it leaves are not", async () => {
    const failing = (): EffectPlugin<never, Down | PluginError> => ({
      name: "failing",
      onError: "refuse",
      hooks: {
        connect: () => Effect.fail(new Down({ service: "list" })),
        helo: () => PluginError.attempt("Cannot ask", () => Promise.reject(new Error("x"))),
        mail: () => Effect.die(new Down({ service: "list" })),
        auth: { mechanisms: ["PLAIN"], verify: () => Effect.fail(new Down({ service: "users" })) },
      },
      recover: (failure) =>
        failure._tag === "Down"
          ? { verdict: "defer", code: 451, enhanced: "4.3.2", text: `No ${failure.service}` }
          : undefined,
    });
    const plugin = await runPlugin(fromEffect(failing));
    const connected = (await plugin.connect()).verdict;
    assert.ok(connected.verdict === "defer" && connected.text === "No list");
    const login = await plugin.authenticate("a", "b");
    assert.match(JSON.stringify(login), /No users/);
    assert.deepEqual(plugin.failures, []);
    assert.equal((await plugin.helo("x")).verdict.verdict, "refuse");
    assert.equal((await plugin.mail("a@b.test")).verdict.verdict, "refuse");
    assert.deepEqual(plugin.failures.map(({ stage, message }) => [stage, message]), [
      ["helo", "PluginError: Cannot ask"],
      ["mail", "Down"],
    ]);
  });

  test("over its budget an Effect is interrupted: finalizers run, promises see their signal", async () => {
    const seen: string[] = [];
    const plugin = await runPlugin(fromEffect((): EffectPlugin => ({
      name: "slow",
      hooks: {
        connect: () =>
          PluginError.attempt(
            "Cannot wait",
            (signal) =>
              new Promise<void>((_, reject) =>
                signal.addEventListener("abort", () => {
                  seen.push("signal");
                  reject(signal.reason);
                })
              ),
          ).pipe(Effect.onInterrupt(() => Effect.sync(() => void seen.push("interrupted")))),
      },
    })));
    const asked = plugin.connect();
    await plugin.clock.advance(5_000);
    assert.equal((await asked).verdict.verdict, "defer");
    assert.deepEqual(seen.sort(), ["interrupted", "signal"]);
  });

  test("what Effect logs is the plugin's log, and a tracer of the layer sees spans", async () => {
    const spans: string[] = [];
    const tracer = Tracer.make({
      span: (options) => {
        spans.push(options.name);
        return new Tracer.NativeSpan(options);
      },
    });
    const plugin = await runPlugin(fromEffect<never>((): EffectPlugin => ({
      name: "talks",
      hooks: {
        connect: () =>
          Effect.logWarning("odd", "client").pipe(
            Effect.annotateLogs({ port: 25, name: "x\ny" }),
            Effect.andThen(Effect.logDebug("quiet")),
            Effect.withSpan("talks.connect"),
            Effect.asVoid,
          ),
      },
    }), () => Layer.succeed(Tracer.Tracer, tracer)));
    await plugin.connect();
    assert.deepEqual(
      plugin.logs.map(({ level, message, fields }) => [level, message, { ...fields }]),
      [
        ["warn", "odd client", { port: 25, name: "x\\u{a}y" }],
        ["debug", "quiet", {}],
      ],
    );
    assert.deepEqual(spans, ["talks.connect"]);
  });
});

describe("testing door", () => {
  test("the ten lines of the plugin contract", async () => {
    const plugin = await runPlugin<{ domains: string[] }>((edge, options) => ({
      name: "block-domains",
      onError: "pass",
      hooks: {
        rcpt: (to) =>
          options.domains.includes(to.domain)
            ? edge.refuse(550, "5.7.1", "Recipient not accepted here")
            : undefined,
        header: (h) => h.append("X-Edge-Seen", "1"),
        end: (tx) => edge.score(tx.size > 20 ? 2 : 0, "BIG_MESSAGE"),
      },
    }), { options: { domains: ["spam.test"] } });
    await plugin.mail("a@example.org");
    assert.equal((await plugin.rcpt("b@spam.test")).verdict.verdict, "refuse");
    await plugin.rcpt("b@example.org");
    const { text, edits } = await plugin.header("Subject: hi\n");
    assert.equal(text, "Subject: hi\r\nX-Edge-Seen: 1\r\n\r\n");
    assert.equal(edits.length, 1);
    assert.equal((await plugin.body("long enough to be big")).text, "long enough to be big");
    await plugin.end();
    assert.deepEqual(plugin.tx.symbols, [{ symbol: "BIG_MESSAGE", points: 2 }]);
    assert.deepEqual(plugin.trace.entries.map(({ stage }) => stage), ["rcpt", "header", "end"]);
  });

  test("options that do not validate, and a mistyped hook, reject", async () => {
    const options = {
      "~standard": {
        version: 1 as const,
        vendor: "test",
        validate: () => ({ issues: [{ message: "Expected a list", path: ["domains"] }] }),
      },
    };
    await assert.rejects(
      runPlugin({ default: () => ({ name: "p", hooks: {} }), options }),
      /plugins\[0\]\.options\.domains: Expected a list/,
    );
    await assert.rejects(runPlugin(() => ({ name: "p", hooks: { rctp: 1 } }) as never), /rctp/);
  });

  test("clock, state and log are the test's", async () => {
    const plugin = await runPlugin((edge) => ({
      name: "limit",
      hooks: {
        connect: async ({ remote }) => {
          const { taken } = await edge.state.window(remote.address, 1, 1, 60_000);
          edge.log.info("asked", { taken });
          return taken ? undefined : edge.defer(450, "4.7.1", "Too fast");
        },
      },
    }));
    assert.equal((await plugin.connect()).verdict.verdict, "pass");
    assert.equal((await plugin.connect()).verdict.verdict, "defer");
    await plugin.clock.advance(60_000);
    assert.equal((await plugin.connect()).verdict.verdict, "pass");
    assert.deepEqual(plugin.logs.map(({ fields }) => fields["taken"]), [true, false, true]);
  });
});
