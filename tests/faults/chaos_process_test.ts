/**
 * Plugins that break outside of any hook, in a Postern of its own process: R38. Nothing that they leave behind ends the
 * process or stops other sessions, and the memory that they took comes back.
 */
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { servePostern, tempHome } from "../support/postern_process.ts";
import { scriptedUpstream } from "../support/scripted_upstream.ts";
import { SmtpClient } from "../support/smtp_client.ts";

/** A Postern with one plugin, whose `mail` does this to the sender `<bad@client.test>`. */
async function serve(isolation: "inline" | "worker", fault: string, keys = "") {
  const upstream = await scriptedUpstream({});
  const home = await tempHome({
    "chaos.ts": `const kept: any[] = [];
      export default () => ({ name: "chaos", hooks: { mail: (from: any): any => {
        if (from?.local === "bad") { ${fault} }
      } } });`,
  });
  const dispose = async () => {
    await upstream.stop();
    await home[Symbol.asyncDispose]();
  };
  try {
    const postern = await servePostern(
      home.path,
      `hostname = "mx.example.org"
data_dir = "data"
received = false
[[listeners]]
name = "mx"
listen = "127.0.0.1:0"
[upstreams.up]
servers = ["${upstream.address}"]
tls = "none"
[[routes]]
upstream = "up"
[[plugins]]
use = "./chaos.ts"
isolation = "${isolation}"
${keys}
`,
    );
    return {
      postern,
      /** The reply to MAIL, or to the end of the message behind it. */
      async send(from: string): Promise<string> {
        await using client = await SmtpClient.connect(postern.port("mx"));
        await client.expect(220);
        await client.ehlo();
        client.send(`MAIL FROM:<${from}@client.test>`);
        const answer = await client.reply();
        if (answer.code !== 250) return answer.text;
        await client.command("RSET", 250);
        return (await client.sendMessage({ to: "b@up.test" })).lines.join("\n");
      },
      /** A session that asks the plugin once and is gone: what it would ask behind that may meet the plugin as it breaks. */
      async strike(): Promise<void> {
        await using client = await SmtpClient.connect(postern.port("mx"));
        await client.expect(220);
        await client.ehlo();
        client.send("MAIL FROM:<bad@client.test>");
        await client.reply();
      },
      /** Octets of memory in use. */
      resident(): number {
        const status = readFileSync(`/proc/${postern.pid}/status`, "utf8");
        return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024;
      },
      async [Symbol.asyncDispose]() {
        await postern.kill();
        await dispose();
      },
    };
  } catch (error) {
    await dispose();
    throw error;
  }
}

const STRAY: ReadonlyMap<string, string> = new Map([
  ["a throw in a timer", 'setTimeout(() => { throw new Error("in a timer"); }, 0);'],
  ["a rejection in a timer", 'setTimeout(() => { Promise.reject(new Error("in a timer")); }, 0);'],
  ["a rejection that nobody awaits", 'void Promise.reject(new Error("in a timer"));'],
]);

for (const isolation of ["inline", "worker"] as const) {
  describe(`R38: what a plugin leaves behind (${isolation})`, () => {
    for (const [name, fault] of STRAY) {
      test(name, async () => {
        await using server = await serve(isolation, fault);
        await server.strike();
        await server.postern.logged("in a timer");
        if (isolation === "worker") await server.postern.logged("the worker runs again");
        assert.match(server.postern.stderr, /plugin failed .*in a timer/);
        assert.match(await server.send("good"), /^2\.0\.0 /);
        assert.equal((await server.postern.stop()).code, 0);
      });
    }
  });
}

test("R38: a worker that spins where nothing breaks it off is replaced", async () => {
  await using server = await serve(
    "worker",
    "return Promise.resolve().then(() => { for (;;); });",
    'budget = "500ms"',
  );
  assert.match(await server.send("bad"), /^451 4\.3\.0 /);
  await server.postern.logged("did not answer a ping");
  await server.postern.logged("the worker runs again");
  assert.match(await server.send("good"), /^2\.0\.0 /);
});

const linux = readable("/proc/self/status") ? false : "needs /proc";

function readable(path: string): boolean {
  try {
    return readFileSync(path, "utf8") !== "";
  } catch {
    return false;
  }
}

describe("R38: memory comes back", { skip: linux }, () => {
  const MIB = 1024 * 1024;

  test("from hooks that take much and throw", async () => {
    await using server = await serve(
      "inline",
      `const all = new Uint8Array(${16 * MIB}).fill(1); throw new Error(String(all.length));`,
    );
    for (let i = 0; i < 50; i++) assert.match(await server.send("bad"), /^451 /);
    assert.match(await server.send("good"), /^2\.0\.0 /);
    assert.ok(server.resident() < 500 * MIB, `${server.resident() / MIB} MiB`);
  });

  test("from a worker that hoards until it breaks", async () => {
    await using server = await serve(
      "worker",
      `kept.push(new Uint8Array(${
        200 * MIB
      }).fill(1)); setTimeout(() => { throw new Error("full"); }, 0);
       return new Promise(() => {});`,
    );
    for (let i = 0; i < 4; i++) {
      assert.match(await server.send("bad"), /^451 /);
      await server.postern.logged(`failures=${i + 1}`);
      assert.match(await server.send("good"), /^2\.0\.0 /);
    }
    assert.ok(server.resident() < 700 * MIB, `${server.resident() / MIB} MiB`);
  });
});
