import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Connection } from "@postern/postern/plugin";
import { runDialogue, type RunOptions, runPlugin, type TestPlugin } from "@postern/postern/testing";
import { optionFaults } from "../../tests/support/fake_facts.ts";
import * as module from "./mod.ts";
import { readReply } from "./smtp.ts";

const SECRET = "s3cr3t-päss word";
const base64 = (text: string) => btoa(String.fromCharCode(...new TextEncoder().encode(text)));

/** What the server answers: text, or nothing for what the usual server says, or what it does itself. */
type Script = (
  line: string,
  server: Connection,
) => string | undefined | Promise<string | undefined>;

/** A server with STARTTLS, which knows `anna` with the secret. */
class Server {
  readonly lines: string[][] = [];
  open = 0;
  most = 0;
  readonly #script: Script;
  #met: [count: number, resolve: () => void] | undefined;

  constructor(script: Script = () => undefined, readonly mechanisms = "PLAIN LOGIN") {
    this.#script = script;
  }

  readonly serve = async (server: Connection): Promise<void> => {
    const lines: string[] = [];
    this.lines.push(lines);
    this.most = Math.max(this.most, ++this.open);
    try {
      const say = async (line: string) => {
        const text = await this.#script(line, server) ?? this.#usual(line, server, lines);
        await server.write(text.replaceAll("\n", "\r\n"));
      };
      await say("");
      for (;;) {
        const line = await server.readLine();
        if (line === undefined) return server.end();
        lines.push(`${server.tls === undefined ? "" : "tls "}${line}`);
        if (this.#met !== undefined && this.lines.flat().length >= this.#met[0]) this.#met[1]();
        await say(line);
        if (line === "STARTTLS" && server.open) await server.startTls();
      }
    } finally {
      this.open--;
    }
  };

  /** Resolves when so many lines have come, over all connections. */
  heard(count: number): Promise<void> {
    return new Promise((resolve) => {
      this.#met = [count, resolve];
      if (this.lines.flat().length >= count) resolve();
    });
  }

  #usual(line: string, server: Connection, lines: readonly string[]): string {
    if (line === "") return "220-mail.test\n220 ready\n";
    if (line.startsWith("EHLO ")) {
      return server.tls === undefined
        ? "250-mail.test\n250 STARTTLS\n"
        : `250-mail.test\n250-SIZE 1000\n250 AUTH ${this.mechanisms}\n`;
    }
    if (line === "STARTTLS") return "220 go\n";
    if (line === "AUTH LOGIN") return "334 VXNlcm5hbWU6\n";
    if (line === "AUTH PLAIN") return "334 \n";
    if (line === "QUIT") return "221 bye\n";
    if (line === base64("anna") && lines.at(-2) === "tls AUTH LOGIN") return "334 UGFzc3dvcmQ6\n";
    const right = [base64(`\0anna\0${SECRET}`), base64(SECRET)];
    return right.includes(line.replace(/^AUTH PLAIN /, "")) ? "235 2.7.0 ok\n" : "535 5.7.8 no\n";
  }
}

const start = (server: Server, options: object = {}, more: RunOptions = {}) =>
  runPlugin(module, {
    name: "auth-upstream",
    options: { server: "mail.test:587", ...options },
    services: { "mail.test:587": server.serve },
    ...more,
  });

async function login(plugin: TestPlugin, user = "anna", password = SECRET) {
  const outcome = await plugin.authenticate(user, password);
  return "identity" in outcome
    ? outcome.identity.user
    : "refused" in outcome
    ? outcome.refused.code
    : undefined;
}

for (const split of [1, undefined]) {
  test(`PLAIN behind STARTTLS, in packets of ${split ?? "all"} octets`, async () => {
    const server = new Server();
    const plugin = await start(server, {}, split === undefined ? {} : { split });
    assert.equal(await login(plugin), "anna");
    assert.equal(await login(plugin, "anna", "wrong"), 535);
    assert.deepEqual(server.lines[0]!.slice(0, 4), [
      "EHLO mx.example.org",
      "STARTTLS",
      "tls EHLO mx.example.org",
      `tls AUTH PLAIN ${base64(`\0anna\0${SECRET}`)}`,
    ]);
    assert.equal(server.lines.length, 2);
    assert.deepEqual(plugin.logs, []);
    await plugin.close();
  });
}

test("LOGIN where that is all there is, and a long password on a line of its own", async () => {
  const server = new Server(undefined, "LOGIN");
  const plugin = await start(server);
  assert.equal(await login(plugin), "anna");
  assert.deepEqual(server.lines[0]!.slice(3, 6), [
    "tls AUTH LOGIN",
    `tls ${base64("anna")}`,
    `tls ${base64(SECRET)}`,
  ]);
  await plugin.close();
  const other = new Server();
  const long = await start(other);
  assert.equal(await login(long, "anna", "x".repeat(1000)), 535);
  assert.equal(other.lines[0]![3], "tls AUTH PLAIN");
  await long.close();
});

test("the domain of a login is told in lower case, and the name for EHLO is the operator's", async () => {
  const server = new Server(({ length }) => length > 60 ? "235 ok\n" : undefined);
  const plugin = await start(server, { hello: "edge.example.net" });
  assert.equal(await login(plugin, `Anna@EXAMPLE.org`, "x".repeat(60)), "Anna@example.org");
  assert.equal(server.lines[0]![0], "EHLO edge.example.net");
  await plugin.close();
});

describe("what the answer to AUTH means", () => {
  for (
    const [answer, wanted] of [
      ["235 2.7.0 ok", "anna"],
      ["535 5.7.8 no", 535],
      ["525 5.7.13 disabled", 535],
      ["550 5.7.1 no", 535],
      ["454 4.7.0 later", 454],
      ["432 4.7.12 change your password", 454],
      ["421 4.3.2 bye", 454],
      ["504 5.5.4 what", 454],
      ["538 5.7.11 encrypt", 454],
      ["530 5.7.0 tls", 454],
      ["334 go on", 454],
      ["250 ok", 454],
      ["235-ok\n535 no", 454],
      ["235", "anna"],
      ["23", 454],
      ["garbage", 454],
    ] as const
  ) {
    test(JSON.stringify(answer), async () => {
      const plugin = await start(
        new Server((line) => line.startsWith("AUTH") ? `${answer}\n` : undefined),
      );
      assert.equal(await login(plugin), wanted);
      assert.equal(plugin.logs.length, wanted === 454 ? 1 : 0);
      assert.deepEqual(plugin.failures, []);
      await plugin.close();
    });
  }
});

describe("a password is not sent", () => {
  const nothing = (server: Server) =>
    assert.ok(!server.lines.flat().some((line) => line.includes("AUTH")), server.lines.join());

  test("where STARTTLS is not offered or refused", async () => {
    for (
      const script of [
        (line: string) =>
          line.startsWith("EHLO") ? "250-mail.test\n250 AUTH PLAIN LOGIN\n" : undefined,
        (line: string) => line === "STARTTLS" ? "454 4.7.0 no\n" : undefined,
      ]
    ) {
      const server = new Server(script);
      const plugin = await start(server);
      assert.equal(await login(plugin), 454);
      nothing(server);
      await plugin.close();
    }
  });

  test("R13: where octets come behind the 220 to STARTTLS", async () => {
    const server = new Server((line) =>
      line === "STARTTLS" ? "220 go\n250-forged\n250 AUTH PLAIN\n" : undefined
    );
    const plugin = await start(server);
    assert.equal(await login(plugin), 454);
    nothing(server);
    await plugin.close();
  });

  test("where the greeting is a refusal, nonsense or endless", async () => {
    for (
      const greeting of ["421 4.3.2 full\n", "554 no\n", "HTTP/1.1 400\n", "220-x\n".repeat(200)]
    ) {
      const server = new Server((line) => line === "" ? greeting : undefined);
      const plugin = await start(server);
      assert.equal(await login(plugin), 454);
      nothing(server);
      await plugin.close();
    }
  });

  test("where no mechanism is offered that we have", async () => {
    const server = new Server(undefined, "GSSAPI CRAM-MD5");
    const plugin = await start(server);
    assert.equal(await login(plugin), 454);
    nothing(server);
    await plugin.close();
  });

  test('unless `tls = "none"` says so', async () => {
    const server = new Server((line) =>
      line.startsWith("EHLO") ? "250-mail.test\n250 AUTH=PLAIN LOGIN\n" : undefined
    );
    const plugin = await start(server, { tls: "none" });
    assert.equal(await login(plugin), "anna");
    assert.ok(!server.lines.flat().includes("STARTTLS"));
    await plugin.close();
  });
});

test("nobody there, and a server that hangs up, are 454 and told of once", async () => {
  for (
    const [server, options] of [
      [new Server(), { server: "mail.test:25" }],
      [
        new Server((line, server) => line.startsWith("AUTH") ? (server.destroy(), "") : undefined),
        {},
      ],
    ] as const
  ) {
    const plugin = await start(server, options);
    for (let i = 0; i < 3; i++) assert.equal(await login(plugin), 454);
    assert.deepEqual(plugin.logs.map(({ level }) => level), ["error"]);
    await plugin.close();
  }
});

test("a server that hangs is cut off by the budget, and its place is free again", async () => {
  let hang = true;
  const server = new Server((line) =>
    hang && line.startsWith("AUTH") ? new Promise<string>(() => {}) : undefined
  );
  const plugin = await start(server, { connections: 1 }, { budget: 5_000 });
  const asked = login(plugin);
  await server.heard(4);
  await plugin.clock.advance(5_000);
  assert.equal(await asked, 454);
  hang = false;
  assert.equal(await login(plugin), "anna");
  await plugin.close();
});

test("no more connections at once than allowed; the others wait their turn", async () => {
  const server = new Server();
  const plugin = await start(server, { connections: 2, exempt: ["192.0.2.0/24"] });
  const all = await Promise.all(Array.from({ length: 12 }, () => login(plugin)));
  assert.deepEqual(new Set(all), new Set(["anna"]));
  assert.equal(server.lines.length, 12);
  // One that has answered may be about to end while the next begins.
  assert.ok(server.most <= 4, String(server.most));
  await plugin.close();
});

test("R17: failures lock, and a right password may be remembered", async () => {
  const server = new Server();
  const plugin = await start(server, { max_failures: 2, cache: "30s" });
  for (let i = 0; i < 3; i++) assert.equal(await login(plugin), "anna");
  assert.equal(server.lines.length, 1);
  for (const user of ["a", "b"]) assert.equal(await login(plugin, user), 535);
  assert.equal(await login(plugin), 535);
  assert.equal(server.lines.length, 3);
  await plugin.close();
});

test("R18: no password in logs or failures, whatever the server says back", async () => {
  for (const code of [235, 421, 454, 535, 504, 334]) {
    const plugin = await start(
      new Server((line) => line.startsWith("AUTH") ? `${code} you said ${line}\n` : undefined),
    );
    await login(plugin);
    const all = JSON.stringify([plugin.logs, plugin.failures]);
    assert.ok(!all.includes("s3cr3t") && !all.includes(base64(`\0anna\0${SECRET}`)), all);
    await plugin.close();
  }
});

test("R24: what is no reply is none", async () => {
  const read = async (text: string) => {
    const { promise, resolve } = Promise.withResolvers<unknown>();
    const plugin = await runPlugin(async (edge) => {
      const connection = await edge.connect({ host: "a", port: 1 });
      resolve(await readReply(connection).catch((cause) => cause));
      return { name: "x", hooks: {} };
    }, {
      services: {
        "a:1": async (server) => {
          await server.write(text);
          server.end();
        },
      },
    });
    await plugin.close();
    return await promise;
  };
  assert.deepEqual(await read("250-a\r\n250 b\r\n"), { code: 250, lines: ["a", "b"] });
  assert.deepEqual(await read("250\r\n"), { code: 250, lines: [""] });
  for (
    const bad of [
      "",
      "250",
      "250-a\r\n",
      "250-a\r\n251 b\r\n",
      "100 a\r\n",
      "999 a\r\n",
      "250_a\r\n",
      "250 a\x00b\r\n",
      " 250 a\r\n",
      `250 ${"x".repeat(3000)}\r\n`,
    ]
  ) assert.ok(await read(bad) instanceof Error, JSON.stringify(bad));
});

test("a dialogue", async () => {
  const server = new Server((line) =>
    line.includes(base64("\0anna\0later")) ? "454 4.7.0 later\n" : undefined
  );
  await runDialogue(module, new URL("auth_upstream.dialogue", import.meta.url), {
    options: { server: "mail.test" },
    services: { "mail.test:587": server.serve },
    clientAddress: "127.0.0.1",
  });
});

test("options say what is wrong", async () => {
  const faults = (given: unknown) => optionFaults(module.options, given);
  assert.deepEqual(await faults({}), ["server: expected a value, got nothing"]);
  assert.deepEqual(await faults({ server: "smtps://" }), [
    'server: expected a server such as "10.0.0.5:587", "smtps://mail.example.org" or "unix:/path", got "smtps://"',
  ]);
  assert.deepEqual(await faults({ server: "smtps://a", tls: "none" }), [
    'tls: expected "require" or "verify" for a server of smtps://',
  ]);
  assert.deepEqual(await faults({ server: "a", tls: "opportunistic" }), [
    'tls: expected "none" or "require" or "verify", got "opportunistic"',
  ]);
  assert.deepEqual(await faults({ server: "a", connections: 0 }), [
    "connections: expected a whole number from 1, got 0",
  ]);
});
