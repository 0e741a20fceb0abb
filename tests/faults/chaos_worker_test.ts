/**
 * Plugins in workers that break, in each stage, in each way, under each `on_error`: R38. The reply is the policy's, the
 * failure is counted, other sessions go on, and the worker is there again.
 */
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import { type Edge, startEdge } from "../support/edge.ts";
import type { SmtpClient } from "../support/smtp_client.ts";

const STAGES = ["connect", "helo", "mail", "rcpt", "data", "header", "scan", "end"] as const;

/** What is answered at once, or ends the worker. */
const QUICK: ReadonlyMap<string, string> = new Map([
  ["throws", 'throw new Error("broken\\r\\n250 2.0.0 forged");'],
  ["throws what cannot be looked at", "throw new Proxy({}, { get() { throw 1; } });"],
  ["rejects", 'return Promise.reject(new Error("broken"));'],
  ["rejects later", "return new Promise((_, no) => setTimeout(() => no(undefined), 1));"],
  ["answers nonsense", 'return { verdict: "explode" };'],
  ["answers what cannot be cloned", "return { verdict: () => {} };"],
  [
    "allocates",
    "const all = []; for (let i = 0; i < 8; i++) all.push(new Uint8Array(1e6).fill(i)); throw new Error(String(all.length));",
  ],
]);
const DEADLY: ReadonlyMap<string, string> = new Map([
  [
    "throws in a timer",
    'setTimeout(() => { throw new Error("stray"); }, 0); return new Promise(() => {});',
  ],
  ["leaves a rejection", 'Promise.reject(new Error("stray")); return new Promise(() => {});'],
  ["exits", "process.exit(3); return new Promise(() => {});"],
]);
/** What only the budget ends. */
const SLOW: ReadonlyMap<string, string> = new Map([
  ["never settles", "return new Promise(() => {});"],
  ["spins for ever", "for (;;);"],
]);

const POLICIES = [["tempfail", /^4\d\d /], ["refuse", /^5\d\d /], [
  "pass",
  /^250 2\.0\.0 /,
]] as const;

/** A plugin that does the fault F in the stage S to the client 127.0.S.F, both counted from 1. */
function chaos(faults: ReadonlyMap<string, string>): string {
  const all = [...faults.values()].map((fault) => `(): any => { ${fault} }`).join(",\n");
  const hook = (stage: string) =>
    `${stage}: (...args: any[]) => hook(${STAGES.findIndex((each) => each === stage) + 1}, args)`;
  const plain = STAGES.filter((stage) => stage !== "scan").map(hook).join(", ");
  return `const faults = [${all}];
    const hook = (stage: number, args: any[]) => {
      const [, at, fault] = /^127\\.0\\.(\\d+)\\.(\\d+)$/.exec(args.at(-1).session.remote.address) ?? [];
      return Number(at) === stage ? faults[Number(fault) - 1]?.() : undefined;
    };
    return { name: "chaos", hooks: { ${plain}, body: { ${hook("scan")} } } };`;
}

/** A whole transaction; the first reply that is no success, or the last one. */
async function transact(client: SmtpClient): Promise<string> {
  for (
    const line of [
      undefined,
      "EHLO client.test",
      "MAIL FROM:<a@client.test>",
      "RCPT TO:<b@up.test>",
      "DATA",
    ]
  ) {
    if (line !== undefined) client.send(line);
    const answer = await client.reply();
    if (answer.code >= 400) return answer.text;
  }
  client.sendRaw("A: b\r\n\r\nbody\r\n.\r\n");
  return (await client.reply()).text;
}

async function victim(edge: Edge, stage: number, fault: number): Promise<string> {
  await using client = await edge.connect({ localAddress: `127.0.${stage + 1}.${fault + 1}` });
  return await transact(client);
}

/** A client to whom the plugin does nothing. */
async function assertServed(edge: Edge): Promise<void> {
  await using honest = await edge.connect();
  assert.match(await transact(honest), /^250 2\.0\.0 /);
}

const failures = (edge: Edge): number => edge.log().split("plugin failed").length - 1;

for (const [policy, [onError, wanted]] of POLICIES.entries()) {
  describe(`R38: a plugin in a worker, on_error = ${onError}`, () => {
    const pluginSettings = `isolation = "worker"\non_error = "${onError}"`;

    test("that throws, rejects, answers nonsense: in every stage", async () => {
      await using edge = await startEdge({ plugins: { chaos: chaos(QUICK) }, pluginSettings });
      for (const [stage, name] of STAGES.entries()) {
        const before = failures(edge);
        const [replies] = await Promise.all([
          Promise.all([...QUICK.keys()].map((_, fault) => victim(edge, stage, fault))),
          assertServed(edge),
        ]);
        for (const reply of replies) assert.match(reply, wanted, name);
        assert.equal(failures(edge), before + QUICK.size, name);
      }
      assert.doesNotMatch(edge.log(), /kind=crashed/);
      for (const line of edge.log().trimEnd().split("\n")) assert.match(line, /^20\d\d-[ -~]+$/);
    });

    test("that breaks its worker: in every stage", async () => {
      await using edge = await startEdge({
        plugins: { chaos: chaos(DEADLY) },
        pluginSettings,
        clock: true,
      });
      for (const [stage, name] of STAGES.entries()) {
        // Each start costs: one way for each stage, and in three policies every way for every stage.
        const fault = (stage + policy) % DEADLY.size;
        const how = `${name} ${[...DEADLY.keys()][fault]}`;
        // A minute later the worker has recovered, and is started again without a pause.
        edge.advance(61_000);
        const before = failures(edge);
        assert.match(await victim(edge, stage, fault), wanted, how);
        // The crash, and the question that it left without an answer.
        assert.equal(failures(edge), before + 2, `${how}\n${edge.log()}`);
        await assertServed(edge);
      }
    });
  });
}

describe("R38: a plugin in a worker that does not answer in time", () => {
  for (const [onError, wanted] of POLICIES) {
    test(`in every stage, on_error = ${onError}`, async () => {
      await using edge = await startEdge({
        plugins: { chaos: chaos(SLOW) },
        pluginSettings: `isolation = "worker"\nbudget = "400ms"\non_error = "${onError}"`,
      });
      for (const fault of [...SLOW.keys()].keys()) {
        const stages = onError === "tempfail" ? [...STAGES.keys()] : [2];
        const replies = await Promise.all(stages.map((stage) => victim(edge, stage, fault)));
        for (const reply of replies) assert.match(reply, wanted);
        await assertServedSoon(edge);
      }
      if (onError === "tempfail") assert.ok(edge.log().includes("kind=over-budget"), edge.log());
    });
  }
});

/** The threads that spun are free again after their budgets: the next question that is in time is answered. */
async function assertServedSoon(edge: Edge): Promise<void> {
  for (let tries = 0; tries < 50; tries++) {
    await using honest = await edge.connect();
    if ((await transact(honest)).startsWith("250 2.0.0 ")) return;
  }
  assert.fail(`The plugin never recovers\n${edge.log()}`);
}

describe("R38: hooks of a worker that do not judge", () => {
  const faults = [...QUICK, ...DEADLY, ["has no opinion", "return undefined;"]] as const;

  test("an authenticator that breaks: 454, and no login", async () => {
    const list = faults.map(([, fault]) => `(): any => { ${fault} }`).join(",\n");
    await using edge = await startEdge({
      plugins: {
        broken: `const faults = [${list}];
          return { name: "broken", hooks: { auth: { mechanisms: ["PLAIN"],
            verify: ({ user }: any) => faults[Number(user)]!() } } };`,
      },
      pluginSettings: 'isolation = "worker"',
      listener: 'auth = "required"\nauth_plaintext_loopback = true',
      limits: "errors = 100\nauth_failures = 100",
      clock: true,
    });
    for (const [number, [how]] of faults.entries()) {
      edge.advance(61_000);
      await using client = await edge.greeted();
      await client.authPlain(String(number), "hunter2-tr0ub4dor", /^(?:454 4\.7\.0|535 5\.7\.8) /);
      await client.command("MAIL FROM:<a@client.test>", "530 5.7.0");
      assert.ok(!edge.log().includes("hunter2"), how);
    }
  });

  test("observers that break: nobody waits for them, nothing depends on them", async () => {
    const on = ["opened", "closed", "delivered", "refused", "errorReply"];
    for (const [how, fault] of [...QUICK].slice(0, 3).concat([...SLOW].slice(0, 1))) {
      await using edge = await startEdge({
        plugins: {
          broken: `const fault = (): any => { ${fault} };
            return { name: "broken", hooks: { on: { ${
            on.map((name) => `${name}: fault`).join(", ")
          } } } };`,
        },
        pluginSettings: 'isolation = "worker"',
      });
      await assertServed(edge);
      await assertServed(edge);
      if (how !== "never settles") await edge.postern.logged("stage=on");
    }
  });
});
