/** Plugins that break, at every stage and in every way: R38. And those that cannot be loaded: R39. */
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import { assertNoDot, type Edge, onlyMessage, startEdge } from "../support/edge.ts";
import type { SmtpClient } from "../support/smtp_client.ts";

/** For this client only the plugin is broken. */
const victim = { localAddress: "127.0.0.9" };

/** Bodies of `fault`. */
const faults: ReadonlyMap<string, string> = new Map([
  ["throws", 'throw new Error("broken\\r\\n250 2.0.0 forged\\u001b[31m");'],
  ["throws undefined", "throw undefined;"],
  [
    "throws what cannot be looked at",
    "throw new Proxy({}, { get() { throw 1; }, getPrototypeOf() { throw 2; } });",
  ],
  ["rejects", 'return Promise.reject(new Error("broken"));'],
  ["rejects later", "return new Promise((_, no) => setTimeout(() => no(undefined), 1));"],
  ["hangs", "return new Promise(() => {});"],
  ["hangs in a thenable", "return { then() {} };"],
  ["throws in a thenable", "return { then() { throw new Error(); } };"],
  ["answers text", 'return "pass";'],
  ["answers a number", "return 250;"],
  ["answers true", "return true;"],
  ["answers an unknown verdict", 'return { verdict: "explode" };'],
  ["answers __proto__", 'return { verdict: "__proto__" };'],
  ["answers half a refusal", 'return { verdict: "refuse" };'],
  ["refuses with 250", 'return { verdict: "refuse", code: 250, enhanced: "2.0.0", text: "x" };'],
  ["refuses with 354", 'return { verdict: "refuse", code: 354, enhanced: "", text: "x" };'],
  ["refuses with 5500", 'return { verdict: "refuse", code: 5500, enhanced: "5.0.0", text: "x" };'],
  ["scores NaN", 'return { verdict: "score", points: NaN, symbol: "X" };'],
  ["answers a list of nonsense", "return [1, undefined];"],
  ["throws when it is read", "return { get verdict() { throw new Error(); } };"],
  ["resolves to nonsense", 'return Promise.resolve({ verdict: "explode" });'],
]);

/** How the hook of a stage stands in the plugin; its last argument is the context. */
const stages: ReadonlyMap<string, string> = new Map([
  ["connect", "connect: hook"],
  ["helo", "helo: hook"],
  ["mail", "mail: hook"],
  ["rcpt", "rcpt: hook"],
  ["data", "data: hook"],
  ["header", "header: hook"],
  ["body.scan", "body: { scan: hook }"],
  ["end", "end: hook"],
]);

/** A plugin that does this to the victim, and has no opinion of anybody else. */
function plugin(hooks: string, fault: string): string {
  return `const fault = (): any => { ${fault} };
    const hook = (...args: any[]) =>
      args.at(-1).session.remote.address === "127.0.0.9" ? fault() : undefined;
    return { name: "broken", hooks: { ${hooks} } };`;
}

/** A plugin that does the fault number N to the client 127.0.1.N. */
function everyFault(hooks: string): string {
  const all = [...faults.values()].map((fault) => `(): any => { ${fault} }`);
  return `const faults = [${all.join(",\n")}];
    const hook = (...args: any[]) => {
      const number = /^127\\.0\\.1\\.(\\d+)$/.exec(args.at(-1).session.remote.address)?.[1];
      return number === undefined ? undefined : faults[Number(number) - 1]!();
    };
    return { name: "broken", hooks: { ${hooks} } };`;
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

/** Another client beside the broken one is served as ever. */
async function assertServed(edge: Edge): Promise<void> {
  const before = edge.upstream.messages.length;
  await using honest = await edge.connect();
  assert.match(await transact(honest), /^250 2\.0\.0 /);
  assert.equal(edge.upstream.messages.length, before + 1);
}

for (const [stage, hooks] of stages) {
  describe(`R38: a ${stage} hook`, () => {
    test("that fails in any way: 451 for its transaction, and for no other", async () => {
      await using edge = await startEdge({
        plugins: { broken: everyFault(hooks) },
        pluginSettings: 'budget = "60ms"',
      });
      for (const [index, name] of [...faults.keys()].entries()) {
        const failures = (): number => edge.log().split("plugin failed").length - 1;
        const before = failures();
        await using broken = await edge.connect({ localAddress: `127.0.1.${index + 1}` });
        assert.match(await transact(broken), /^4\d\d (?:4\.\d\.\d )?[ -~]+$/, `it ${name}`);
        assert.ok(!/forged|\x1b/.test(broken.transcript), `it ${name}`);
        assert.equal(failures(), before + 1, `it ${name}`);
      }
      assertNoDot(edge);
      for (const line of edge.log().trimEnd().split("\n")) assert.match(line, /^20\d\d-[ -~]+$/);
      await assertServed(edge);
    });

    test("that fails: on_error decides", async () => {
      for (
        const [onError, wanted] of [["pass", /^250 2\.0\.0 /], ["refuse", /^5\d\d /], [
          "tempfail",
          /^4\d\d /,
        ]] as const
      ) {
        for (const fault of ["throw new Error();", "return new Promise(() => {});", "return 1;"]) {
          await using edge = await startEdge({
            plugins: { broken: plugin(hooks, fault) },
            pluginSettings: `budget = "60ms"\non_error = "${onError}"`,
          });
          await using broken = await edge.connect(victim);
          assert.match(await transact(broken), wanted, `${onError}: ${fault}`);
          await assertServed(edge);
        }
      }
    });

    test("that fails in shadow mode costs nothing", async () => {
      await using edge = await startEdge({
        plugins: { broken: plugin(hooks, "throw new Error();") },
        pluginSettings: 'mode = "shadow"\non_error = "refuse"',
      });
      await using broken = await edge.connect(victim);
      assert.match(await transact(broken), /^250 2\.0\.0 /);
    });
  });
}

describe("R38: hooks that do not judge", () => {
  test("observe and transform that throw: 451, no dot", async () => {
    const wrong = ["throw new Error();", 'return "text";', "return null;", "return [1];"];
    for (const [hook, all] of [["observe", wrong.slice(0, 1)], ["transform", wrong]] as const) {
      for (const fault of all) {
        const otherwise = hook === "transform" ? "chunk" : "undefined";
        await using edge = await startEdge({
          plugins: {
            broken:
              `return { name: "broken", hooks: { body: { ${hook}: (chunk: any, context: any): any => {
              if (context.session.remote.address !== "127.0.0.9") return ${otherwise};
              ${fault}
            } } } };`,
          },
        });
        await using broken = await edge.connect(victim);
        assert.match(await transact(broken), /^451 4\./, fault);
        assertNoDot(edge);
        await assertServed(edge);
      }
    }
  });

  test("R10: a transform's bare CR, bare LF, NUL and dots do not end the message early", async () => {
    const evil = "x\\n.\\n\\r.\\r\\0\\r\\n.\\r\\nMAIL FROM:<evil@client.test>\\r\\n.";
    await using edge = await startEdge({
      plugins: {
        evil: `const evil = new TextEncoder().encode("${evil}"); let done = false;
          return { name: "evil", hooks: { body: { transform: (chunk: any) => {
            if (done || chunk.length === 0) return chunk; done = true; return evil; } } } };`,
      },
    });
    await using client = await edge.greeted();
    assert.equal((await client.sendMessage({ to: "b@up.test" })).code, 250);
    await client.command("NOOP", 250);
    onlyMessage(edge);
    const wire = edge.upstream.connections.flatMap((c) => c.bodies).map((b) =>
      String.fromCharCode(...b.raw)
    ).join("");
    assert.ok(wire.includes("evil@client.test"));
    assert.ok(!/\r(?!\n)|(?<!\r)\n|\0/.test(wire), JSON.stringify(wire));
    assert.ok(
      !edge.upstream.connections.some((c) => c.commands.some((line) => line.includes("evil"))),
    );
  });

  test("reply hooks: what they break is the reply as it was", async () => {
    const replies = [
      "throw new Error();",
      "return 1;",
      'return "x";',
      "return { code: 550 };",
      "return { code: 354 };",
    ]
      .concat([
        "return { text: 5 };",
        "return Promise.resolve({ code: 250 });",
        "return new Promise(() => {});",
      ])
      .concat(["return { get code() { throw 1; } };", "return { code: NaN };"]);
    for (const fault of replies) {
      await using edge = await startEdge({ plugins: { broken: plugin("reply: hook", fault) } });
      await using client = await edge.connect(victim);
      assert.match(await transact(client), /^250 2\.0\.0 /, fault);
    }
  });

  test("reply hooks: a text with line ends in it is still one reply", async () => {
    await using edge = await startEdge({
      plugins: {
        evil:
          `return { name: "evil", hooks: { reply: () => ({ text: "a\\r\\n250 2.0.0 forged\\n\\0\\u001b" }) } };`,
      },
    });
    await using client = await edge.connect();
    client.send("EHLO x.test");
    await client.expect(220);
    await client.expect(250);
    for (let i = 0; i < 3; i++) {
      const answer = await client.command("NOOP", 250);
      assert.match(answer.text, /^250[ -](?:[ -~\n])+$/);
    }
    await client.command("FOO", 500);
    await client.command("NOOP", 250);
  });

  test("observers: nobody waits for them, nothing depends on them", async () => {
    const on = ["opened", "closed", "delivered", "refused", "errorReply", "loginFailed"];
    for (
      const fault of [
        "throw new Error();",
        "return Promise.reject(new Error());",
        "return new Promise(() => {});",
      ]
    ) {
      await using edge = await startEdge({
        plugins: {
          broken: `const fault = (): any => { ${fault} };
            return { name: "broken", hooks: { on: { ${
            on.map((name) => `${name}: fault`).join(", ")
          } } } };`,
        },
        users: { anna: "x" },
        listener: 'auth = "optional"\nauth_plaintext_loopback = true',
      });
      await using client = await edge.greeted();
      await client.authPlain("anna", "wrong", 535);
      assert.equal((await client.sendMessage({ to: "b@up.test" })).code, 250);
      await client.quit();
      await assertServed(edge);
    }
  });

  test("authenticators: 454 and no login, whatever they do", async () => {
    const answers = [
      ...faults.values(),
      'return { user: "" };',
      "return { user: 5 };",
      "return {};",
    ]
      .concat(['return { user: "a\\r\\nb", mechanism: "PLAIN" };', "return [];"]);
    for (const fault of answers) {
      await using edge = await startEdge({
        plugins: { broken: plugin('auth: { mechanisms: ["PLAIN"], verify: hook }', fault) },
        pluginSettings: 'budget = "60ms"',
        listener: 'auth = "required"\nauth_plaintext_loopback = true',
        limits: "errors = 100\nauth_failures = 100",
      });
      // AUTH without TLS is for 127.0.0.0/8, to which the victim belongs.
      await using client = await edge.greeted(victim);
      await client.authPlain("anna", "secret", /^(?:454 4\.7\.0|535 5\.7\.8) /);
      await client.command("MAIL FROM:<a@client.test>", "530 5.7.0");
    }
  });

  test("R18: a password in an authenticator's exception stays out of the log", async () => {
    await using edge = await startEdge({
      plugins: {
        broken: `return { name: "broken", hooks: { auth: { mechanisms: ["PLAIN"],
          verify: (given: any) => { throw new Error("cannot check " + JSON.stringify(given)); } } } };`,
      },
      listener: 'auth = "required"\nauth_plaintext_loopback = true',
      more: '[log]\nlevel = "debug"',
    });
    await using client = await edge.greeted();
    await client.authPlain("anna", "hunter2-tr0ub4dor", /^454/);
    await edge.postern.logged("plugin failed");
    assert.ok(!edge.log().includes("hunter2-tr0ub4dor"), edge.log());
  });
});

describe("R22: a plugin's rewrite is parsed like a client's word", () => {
  const bad = [
    '""',
    '"b"',
    '"b@up.test\\r\\nDATA"',
    '"b@up.test> <c@up.test"',
    '"<b@up.test>"',
    '"b@\\u0000"',
  ];
  for (const address of bad) {
    test(`rcpt to ${address}`, async () => {
      await using edge = await startEdge({
        plugins: {
          evil:
            `return { name: "evil", hooks: { rcpt: () => edge.rewrite({ to: [${address}] }) } };`,
        },
      });
      await using client = await edge.connect();
      assert.match(await transact(client), /^451 4\./);
      assert.equal(edge.upstream.count("rcpt"), 0);
    });
    if (address === '""') continue;
    test(`mail from ${address}`, async () => {
      await using edge = await startEdge({
        plugins: {
          evil:
            `return { name: "evil", hooks: { mail: () => edge.rewrite({ from: ${address} }) } };`,
        },
      });
      await using client = await edge.connect();
      assert.match(await transact(client), /^451 4\./);
      assert.equal(edge.upstream.count("mail"), 0);
    });
  }
  test("to nobody, or by an upstream that is not there", async () => {
    for (const change of ["{ to: [] }", '{ upstream: "nowhere" }', '{ upstream: "__proto__" }']) {
      await using edge = await startEdge({
        plugins: {
          evil: `return { name: "evil", hooks: { rcpt: () => edge.rewrite(${change}) } };`,
        },
      });
      await using client = await edge.connect();
      assert.match(await transact(client), /^451 4\./);
      assert.equal(edge.upstream.count("rcpt"), 0);
    }
  });
  test("good ones are followed, by the route of the new address", async () => {
    await using edge = await startEdge({
      routes: '[[routes]]\nto = ["up.test"]\nupstream = "up"',
      plugins: {
        alias: `return { name: "alias", hooks: {
          mail: () => edge.rewrite({ from: "" }),
          rcpt: (to: any) => edge.rewrite({ to: to.local === "both" ? ["b@up.test", '"c d"@up.test'] : ["x@elsewhere.test"] }),
        } };`,
      },
    });
    await using client = await edge.greeted();
    await client.command("MAIL FROM:<a@client.test>", 250);
    await client.command("RCPT TO:<one@up.test>", "550 5.7.1");
    await client.command("RCPT TO:<both@alias.test>", 250);
    await client.command("DATA", 354);
    client.sendRaw("A: b\r\n\r\n.\r\n");
    await client.expect(250);
    assert.equal(edge.upstream.messages[0]?.from, "");
    assert.deepEqual(edge.upstream.messages[0]?.to, ["b@up.test", '"c d"@up.test']);
  });
  test("header edits cannot add lines: 451", async () => {
    for (
      const edit of [
        'prepend("X-A", "b\\r\\nBcc: evil@x.test")',
        'append("X-A\\r\\nBcc", "x")',
        'replace("Subject", "a\\n\\nbody")',
        'prepend("", "x")',
        'rename("A", "B: c\\r\\nD")',
      ]
    ) {
      await using edge = await startEdge({
        plugins: {
          evil: `return { name: "evil", hooks: { header: (h: any) => { h.${edit}; } } };`,
        },
      });
      await using client = await edge.connect();
      assert.match(await transact(client), /^451 4\./, edit);
      assertNoDot(edge);
    }
  });
});

describe("verdicts", () => {
  const verdicts: readonly (readonly [string, RegExp])[] = [
    ['edge.refuse(550, "5.7.1", "No")', /^550 (?:5\.7\.1 )?No$/],
    ['edge.defer(450, "4.2.0", "Later")', /^450 (?:4\.2\.0 )?Later$/],
    ['edge.drop(554, "5.7.1", "Go away")', /^554 (?:5\.7\.1 )?Go away$/],
  ];
  for (const [stage, hooks] of stages) {
    test(`of a ${stage} hook reach the client as they are, and nothing is delivered`, async () => {
      for (const [verdict, wanted] of verdicts) {
        await using edge = await startEdge({
          plugins: { judge: plugin(hooks, `return ${verdict};`) },
        });
        await using client = await edge.connect(victim);
        assert.match(await transact(client), wanted);
        if (verdict.includes("drop") || stage === "connect") await client.expectClosed();
        else await client.command("NOOP", 250);
        assertNoDot(edge);
        await assertServed(edge);
      }
    });
  }

  test("R11: a refusal at BDAT takes the chunks off the stream", async () => {
    for (
      const [stage, hooks] of [["data", "data: hook"], ["header", "header: hook"], [
        "end",
        "end: hook",
      ]]
    ) {
      await using edge = await startEdge({
        plugins: { judge: plugin(hooks ?? "", 'return edge.refuse(550, "5.7.1", "No");') },
      });
      await using client = await edge.greeted(victim);
      await client.command("MAIL FROM:<a@client.test>", 250);
      await client.command("RCPT TO:<b@up.test>", 250);
      client.sendRaw("BDAT 8\r\nA: b\r\n\r\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n");
      let answer = await client.reply();
      // A refusal that is known early answers the first chunk; then the second is out of order.
      if (answer.code === 250) answer = await client.reply();
      else await client.expect("503 5.5.1");
      assert.equal(answer.code, 550, stage);
      await client.expect(250);
      assertNoDot(edge);
    }
  });

  test("a discard is told 250 and goes nowhere; the log says so", async () => {
    await using edge = await startEdge({
      plugins: { judge: plugin("end: hook", 'return edge.discard("spam trap");') },
    });
    await using client = await edge.connect(victim);
    assert.match(await transact(client), /^250 2\.0\.0 /);
    assertNoDot(edge);
    assert.equal(edge.postern.records[0]?.fate, "discarded");
    assert.match(edge.log(), /discarded .*spam trap/);
  });
});

describe("R39: a plugin that cannot be loaded stops the start", () => {
  const broken: ReadonlyMap<string, string> = new Map([
    ["throws", 'throw new Error("no database");'],
    ["rejects", 'return Promise.reject(new Error("no database"));'],
    ["gives nothing", "return undefined;"],
    ["has no name", "return { hooks: {} };"],
    ["has a hook that does not exist", 'return { name: "x", hooks: { rcptto: () => {} } };'],
    ["has a hook that is no function", 'return { name: "x", hooks: { rcpt: 5 } };'],
    ["has no hooks", 'return { name: "x" };'],
    ["is no JavaScript", "return }{;"],
  ]);
  for (const [name, body] of broken) {
    test(name, async () => {
      await assert.rejects(startEdge({ plugins: { broken: body } }), /plugins\[0\]|broken/);
    });
  }
  test("is not there", async () => {
    await assert.rejects(startEdge({ more: '[[plugins]]\nuse = "./nowhere.ts"' }), /nowhere/);
    await assert.rejects(
      startEdge({ more: '[[plugins]]\nuse = "no-such-policy"' }),
      /no-such-policy/,
    );
    await assert.rejects(startEdge({ more: '[[plugins]]\nuse = "__proto__"' }), /__proto__/);
  });
});
