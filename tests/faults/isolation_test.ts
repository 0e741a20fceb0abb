/** Plugins in workers of their own: they answer like inline ones, and have no more rights than they are granted. */
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import { dnsServer, reply } from "../support/dns_server.ts";
import { onlyMessage, startEdge } from "../support/edge.ts";
import { startPostern } from "../support/postern.ts";
import { scriptedUpstream } from "../support/scripted_upstream.ts";
import { passwords } from "../../src/pipeline/passwords.ts";
import { SmtpClient } from "../support/smtp_client.ts";

const isolated = 'isolation = "worker"';
const onDeno = "Deno" in globalThis;

/** A Postern whose plugins are whole files; `tables` are their `[[plugins]]`. */
async function startWith(files: Readonly<Record<string, string>>, tables: string) {
  const upstream = await scriptedUpstream({});
  try {
    const postern = await startPostern(
      `received = false
[[listeners]]
name = "mx"
listen = "127.0.0.1:0"
[timeouts]
drain = "100ms"
[upstreams.up]
servers = ["${upstream.address}"]
[[routes]]
upstream = "up"
${tables}`,
      {
        prepare: async (dir) => {
          for (const [name, text] of Object.entries(files)) await writeFile(`${dir}/${name}`, text);
        },
      },
    );
    return {
      postern,
      upstream,
      async greeted(): Promise<SmtpClient> {
        const client = await SmtpClient.connect(postern.port("mx"));
        await client.expect(220);
        await client.ehlo();
        return client;
      },
      async [Symbol.asyncDispose]() {
        await upstream.stop();
        await postern.stop();
      },
    };
  } catch (error) {
    await upstream.stop();
    throw error;
  }
}

/** What the plugin file says when it is asked whether it may. */
async function replyOf(files: Readonly<Record<string, string>>, tables: string): Promise<string> {
  await using server = await startWith(files, tables);
  await using client = await server.greeted();
  client.send("MAIL FROM:<a@client.test>");
  return (await client.reply()).text;
}

/** A plugin whose MAIL is refused with what `tries` gives, or throws. */
const trial = (tries: string, more = "") =>
  `${more}
export default (edge: any, options: any) => ({ name: "trial", hooks: { mail: async () => {
  let text: string;
  try { text = String(await (async () => { ${tries} })()); } catch (error) { text = String(error); }
  return edge.refuse(550, "5.7.1", text.replace(/[^ -~]/g, " ").slice(0, 400));
} } });
`;

describe("a plugin in a worker", () => {
  test("answers in every stage, edits the header, reads the content, observes", async () => {
    await using edge = await startEdge({
      plugins: {
        all: `const seen = new WeakMap();
          const note = edge.note("mine");
          return { name: "all", hooks: {
            connect: (session) => { seen.set(session, ["connect " + session.remote.address]); },
            helo: (name, { session }) => { seen.get(session).push("helo " + name); },
            mail: async (from, { tx, session, params }) => {
              seen.get(session).push("mail " + from.address + " " + session.helo + " " + params.size);
              note.set(tx, await edge.state.add("count", 2, 60000));
            },
            rcpt: (to, { tx }) => {
              if (to.local === "no") return edge.refuse(550, "5.1.1", "No such user");
              return edge.score(1.5, "RCPT_" + tx.recipients.length);
            },
            data: (tx) => edge.score(1, "DATA"),
            header: (header, { session, tx }) => {
              header.append("X-Seen", seen.get(session).join(", "));
              header.replace("Subject", "[" + note.get(tx) + "] " + header.get("subject"));
              header.remove("X-Gone");
            },
            body: { scan: async (content) => {
              let octets = 0;
              for await (const chunk of content) octets += chunk.length;
              return edge.score(octets, "OCTETS");
            } },
            end: (tx) => { edge.log.info("end", { score: tx.score, symbols: tx.symbols.map((s) => s.symbol).join("+"),
              to: tx.recipients.map((r) => r.address).join("+") }); },
            on: { delivered: (tx, { reply }) => edge.log.info("delivered", { size: tx.size, code: reply.code }),
              closed: (session) => edge.log.info("closed", { known: seen.has(session) }) },
          } };`,
      },
      pluginSettings: isolated,
    });
    await using client = await edge.greeted();
    await client.command("MAIL FROM:<a@client.test> SIZE=100", 250);
    await client.command("RCPT TO:<no@up.test>", "550 5.1.1 No such user");
    await client.command("RCPT TO:<b@up.test>", 250);
    await client.command("RCPT TO:<c@up.test>", 250);
    await client.command("DATA", 354);
    client.sendRaw("Subject: hello\r\nX-Gone: 1\r\n\r\nbody\r\n.\r\n");
    await client.expect(250);
    await client.quit();
    const text = String(onlyMessage(edge));
    assert.match(text, /^Subject: \[2\] hello\r\n/m);
    assert.match(text, /^X-Seen: connect 127\.0\.0\.1, helo client\.test, mail a@client\.test /m);
    assert.doesNotMatch(text, /X-Gone/);
    await edge.postern.logged("closed");
    const log = edge.log();
    assert.match(log, /RCPT_0\+RCPT_1\+DATA\+OCTETS/);
    assert.match(log, /b@up\.test\+c@up\.test/);
    assert.match(log, /known=true/);
    assert.doesNotMatch(log, /plugin failed/);
  });
});

describe("R38: the rights of a worker", () => {
  const table = 'use = "./trial.ts"\nisolation = "worker"';

  test("none are the default: it loads its own imports and reads nothing else", {
    skip: onDeno ? false : "Bun does not enforce them",
  }, async () => {
    const tries = [
      ['return (await import("node:fs")).readFileSync("/etc/passwd", "utf8");', /NotCapable/],
      [
        'return (await import("node:fs")).readFileSync(new URL(import.meta.url), "utf8");',
        /NotCapable/,
      ],
      ['return await fetch("http://127.0.0.1:40009/");', /NotCapable/],
      ['return (await import("node:process")).default.env.HOME;', /NotCapable|undefined/],
      ['return (await import("node:child_process")).execSync("id");', /NotCapable/],
      ['return helper() + (await import("./late.ts")).late;', /^550 5\.7\.1 helped late$/],
    ] as const;
    for (const [tried, wanted] of tries) {
      const files = {
        "trial.ts": trial(tried, 'import { helper } from "./helper.ts";'),
        "helper.ts": 'export const helper = (): string => "helped ";',
        "late.ts": 'export const late: string = "late";',
      };
      const reply = await replyOf(files, `[[plugins]]\n${table}`);
      assert.match(reply, wanted, `${tried}: ${reply}`);
    }
  });

  test("what the manifest asks for and the operator grants, and no more", async () => {
    const more = 'export const manifest = { read: ["lists"] };';
    const files = {
      "trial.ts": trial(
        'return await edge.readText("lists") + await edge.readText("users");',
        more,
      ),
      "lists": "the list ",
      "users": "the users",
    };
    const granted = `[[plugins]]\n${table}\ngrant = { read = ["lists", "users"] }`;
    assert.match(await replyOf(files, granted), /not users$/);
    if (!onDeno) return;
    const direct = trial(
      'const { readFileSync } = await import("node:fs"); const dir = options.dir; return readFileSync(dir + "/lists", "utf8") + readFileSync(dir + "/users", "utf8");',
      more,
    );
    await using server = await startWith({}, "");
    await writeFile(`${server.postern.dir}/lists`, "the list");
    const absolute = direct.replace('["lists"]', `["${server.postern.dir}/lists"]`);
    assert.match(
      await replyOf(
        { "trial.ts": absolute },
        `[[plugins]]\n${table}\ngrant = { read = ["${server.postern.dir}"] }\noptions = { dir = "${server.postern.dir}" }`,
      ),
      /NotCapable.*users/,
    );
  });

  test("names are asked for through the host, without a grant", async () => {
    await using server = await dnsServer((asked) => [
      reply(asked, { answers: [{ type: "A", name: asked.name, ttl: 1, data: "192.0.2.7" }] }),
    ]);
    const files = {
      "trial.ts": trial(
        `const { status, records } = await edge.dns.resolve("Host.test", "A");
        const aborted = await edge.dns.resolve("a.test", "A", { signal: AbortSignal.abort("no") })
          .catch(String);
        const wrong = await edge.dns.resolve("a.test", "ANY").catch((error: Error) => error.name);
        return [status, records, aborted, wrong, edge.dns.reverseName("192.0.2.1", "list")];`,
      ),
    };
    const told = await replyOf(
      files,
      `[[plugins]]\n${table}\n[dns]\nservers = ["127.0.0.1:${server.port}"]`,
    );
    assert.match(told, /found,192\.0\.2\.7,no,TypeError,1\.2\.0\.192\.list$/);
    assert.deepEqual(server.asked, ["host.test A udp"]);
  });

  test("a request that is not granted stops the start and names both", async () => {
    const files = {
      "trial.ts": trial(
        "return 1;",
        'export const manifest = { net: ["a.test:443", "b.test"], read: ["/etc"] };',
      ),
    };
    await assert.rejects(
      startWith(files, `[[plugins]]\n${table}\ngrant = { net = ["b.test"], read = ["/etc/x"] }`),
      (error) =>
        /net = \["a\.test:443"\]/.test(String(error)) &&
        /grant\.net = \["b\.test"\]/.test(String(error)) &&
        /read = \["\/etc"\]/.test(String(error)),
    );
    await assert.rejects(
      startWith(files, '[[plugins]]\nuse = "./trial.ts"\ngrant = { net = ["*"] }'),
      /plugins\[0\]\.grant: needs isolation = "worker"/,
    );
  });
});

describe("what cannot work in a worker stops the start", () => {
  const start = (body: string, more = "") =>
    startWith({
      "bad.ts": `${more}\nexport default (edge: any) => { ${body} };`,
    }, '[[plugins]]\nuse = "./bad.ts"\nisolation = "worker"');

  for (
    const [name, body, wanted] of [
      [
        "transform",
        'return { name: "x", hooks: { body: { transform: (c: any) => c } } };',
        /transform does not work in a worker/,
      ],
      [
        "flush",
        'return { name: "x", hooks: { body: { flush() {} } } };',
        /flush does not work in a worker/,
      ],
      [
        "observe",
        'return { name: "x", hooks: { body: { observe: () => {} } } };',
        /observe does not work.*scan/,
      ],
      ["reply", 'return { name: "x", hooks: { reply: () => {} } };', /hooks\.reply does not work/],
      [
        "a mistyped hook",
        'return { name: "x", hooks: { rctp: () => {} } };',
        /hooks\.rctp is unknown/,
      ],
      ["a factory that throws", 'throw new Error("not today");', /not today/],
    ] as const
  ) {
    test(name, async () => {
      await assert.rejects(start(body), wanted);
    });
  }

  test("a file that throws, is not there, exports nothing", async () => {
    await assert.rejects(start("return 1;", 'throw new Error("at the top");'), /at the top/);
    await assert.rejects(
      startWith({}, '[[plugins]]\nuse = "./none.ts"\nisolation = "worker"'),
      /plugins\[0\]\.use: Cannot load plugin \.\/none\.ts/,
    );
    await assert.rejects(
      startWith(
        { "empty.ts": "export const a = 1;" },
        '[[plugins]]\nuse = "./empty.ts"\nisolation = "worker"',
      ),
      /no default export/,
    );
  });

  test("options that do not validate, with their path", async () => {
    await assert.rejects(
      startWith(
        {},
        '[[plugins]]\nuse = "rate-limit"\nisolation = "worker"\noptions = { rules = [{ by = "moon" }] }',
      ),
      /plugins\[0\]\.options\.rules\[0\]/,
    );
  });
});

describe("beside other plugins", () => {
  test("a bundled plugin runs in a worker", async () => {
    await using edge = await startEdge({
      more:
        `[[plugins]]\nuse = "rate-limit"\n${isolated}\noptions = { rules = [{ by = "address", count = "messages", limit = 1, window = "1h" }] }`,
    });
    await using client = await edge.greeted();
    assert.equal((await client.sendMessage({ to: "b@up.test" })).code, 250);
    await client.command("MAIL FROM:<a@client.test>", /^4/);
  });

  test("notes go both ways, by what the manifest reads", async () => {
    const files = {
      "giver.ts": `export const manifest = { gives: ["spf"] };
        export default (edge: any) => { const spf = edge.note("spf"); return { name: "giver", hooks: {
          mail: (_: any, { tx }: any) => { spf.set(tx, { result: "pass" }); } } }; };`,
      "middle.ts": `export const manifest = { reads: ["spf"], gives: ["middle"] };
        export default (edge: any) => { const spf = edge.note("spf"), own = edge.note("middle");
          return { name: "middle", hooks: {
            mail: (_: any, { tx }: any) => { own.set(tx, "saw " + spf.get(tx).result); } } }; };`,
      "reader.ts": `export const manifest = { reads: ["middle"] };
        export default (edge: any) => { const middle = edge.note("middle"); return { name: "reader", hooks: {
          rcpt: (_: any, { tx }: any) => edge.refuse(550, "5.7.1", middle.get(tx)) } }; };`,
    };
    await using server = await startWith(
      files,
      '[[plugins]]\nuse = "./giver.ts"\n[[plugins]]\nuse = "./middle.ts"\nisolation = "worker"\n[[plugins]]\nuse = "./reader.ts"',
    );
    await using client = await server.greeted();
    await client.command("MAIL FROM:<a@client.test>", 250);
    await client.command("RCPT TO:<b@up.test>", "550 5.7.1 saw pass");
  });

  test("the points are all there for who does not say what it reads", async () => {
    const files = {
      "slow.ts": `export default (edge: any) => ({ name: "slow", hooks: { end: async () => {
          await new Promise((resolve) => setTimeout(resolve, 50));
          return edge.score(3, "SLOW"); } } });`,
      "judge.ts": `export default (edge: any) => ({ name: "judge", hooks: {
          end: (tx: any) => edge.refuse(550, "5.7.1", "saw " + tx.score) } });`,
    };
    await using server = await startWith(
      files,
      '[[plugins]]\nuse = "./slow.ts"\n[[plugins]]\nuse = "./judge.ts"\nisolation = "worker"',
    );
    await using client = await server.greeted();
    const { lines } = await client.sendMessage({ to: "b@up.test" });
    assert.match(lines.join(), /saw 3/);
  });

  test("an authenticator: the password reaches it, and no log", async () => {
    await using edge = await startEdge({
      plugins: {
        login: `return { name: "login", hooks: { auth: { mechanisms: ["PLAIN"],
          verify: async ({ user, password }) => {
            if (password === "boom") throw new Error("cannot check " + password);
            return password === "s3same" ? { user, mechanism: "PLAIN" } : edge.refuse(535, "5.7.8", "No");
          } } } };`,
      },
      pluginSettings: isolated,
      listener: 'auth = "required"\nauth_plaintext_loopback = true',
      more: '[log]\nlevel = "debug"',
    });
    await using client = await edge.greeted();
    await client.authPlain("anna", "wrong", /^535/);
    await client.authPlain("anna", "boom", /^454/);
    await client.authPlain("anna", "s3same", /^235/);
    assert.equal((await client.sendMessage({ to: "b@up.test" })).code, 250);
    assert.match(edge.log(), /cannot check \[redacted\]/);
    assert.doesNotMatch(edge.log(), /boom|s3same/);
  });

  test("a bundled authenticator is granted what stands in its options", async () => {
    await using edge = await startEdge({
      files: { logins: `anna:${await passwords.hash("s3same")}\n` },
      listener: 'auth = "required"\nauth_plaintext_loopback = true',
      more:
        `[[plugins]]\nuse = "auth-file"\n${isolated}\ngrant = { read = ["logins"] }\noptions = { users = "logins" }`,
    });
    await using client = await edge.greeted();
    await client.authPlain("anna", "wrong", /^535/);
    await client.authPlain("anna", "s3same", /^235/);
  });

  test("a scanner reads a large content whole, and one that stops early is let go", async () => {
    for (
      const [reads, octets] of [["for await (const c of content) n += c.length;", 3e6], [
        "for await (const c of content) { n += c.length; break; }",
        1,
      ]] as const
    ) {
      await using edge = await startEdge({
        plugins: {
          scan: `return { name: "scan", hooks: { body: { scan: async (content) => {
            let n = 0; ${reads} edge.log.info("scanned", { octets: n }); } } } };`,
        },
        pluginSettings: isolated,
      });
      await using client = await edge.greeted();
      const content = `A: b\r\n\r\n${`${"x".repeat(998)}\r\n`.repeat(3_000)}`;
      assert.equal((await client.sendMessage({ to: "b@up.test", content })).code, 250);
      await edge.postern.logged("scanned");
      const found = Number(/octets=(\d+)/.exec(edge.log())?.[1]);
      assert.ok(found >= octets, `${found} of ${octets}`);
      assert.doesNotMatch(edge.log(), /plugin failed/);
    }
  });

  test("edge.connect has the worker's rights", async () => {
    await using other = await scriptedUpstream({});
    const [host, port] = other.address.split(":");
    const body = `const connection = await edge.connect({ host: "${host}", port: ${port} });
      connection.destroy?.(); return "connected";`;
    const table = '[[plugins]]\nuse = "./trial.ts"\nisolation = "worker"';
    const manifest = `export const manifest = { net: ["${other.address}"] };`;
    const granted = `${table}\ngrant = { net = ["${host}"] }`;
    assert.match(await replyOf({ "trial.ts": trial(body, manifest) }, granted), /connected$/);
    if (!onDeno) return;
    assert.doesNotMatch(await replyOf({ "trial.ts": trial(body) }, table), /connected/);
  });

  test("a plugin that holds the body edits the header at its end", async () => {
    const files = {
      "holds.ts": `export const manifest = { holdBody: true };
        export default (edge: any) => ({ name: "holds", hooks: {
          body: { scan: async (content: any, { header }: any) => {
            let octets = 0; for await (const chunk of content) octets += chunk.length;
            header.append("X-Octets", String(octets)); } },
          end: (tx: any, { header }: any) => { header.prepend("X-Subject", header.get("Subject")); },
        } });`,
    };
    await using server = await startWith(
      files,
      '[[plugins]]\nuse = "./holds.ts"\nisolation = "worker"',
    );
    await using client = await server.greeted();
    const content = "Subject: hello\r\n\r\nbody\r\n";
    assert.equal((await client.sendMessage({ to: "b@up.test", content })).code, 250);
    const text = String.fromCharCode(...server.upstream.messages[0]!.content);
    assert.equal(text, "X-Subject: hello\r\nSubject: hello\r\nX-Octets: 6\r\n\r\nbody\r\n");
  });

  test("a changed file, or what it imports, is a new worker for new sessions", async () => {
    const files = {
      "answer.ts": `import { word } from "./word.ts";
        export default (edge: any) => ({ name: "answer", hooks: { mail: () => edge.refuse(550, "5.7.1", word) } });`,
      "word.ts": 'export const word: string = "one";',
    };
    await using server = await startWith(
      files,
      '[[plugins]]\nuse = "./answer.ts"\nisolation = "worker"',
    );
    await using former = await server.greeted();
    await former.command("MAIL FROM:<a@client.test>", "550 5.7.1 one");
    await writeFile(`${server.postern.dir}/word.ts`, 'export const word: string = "two";');
    const exit = await Effect.runPromiseExit(server.postern.running.reloadPlugin("answer"));
    assert.ok(Exit.isSuccess(exit), String(exit));
    await using later = await server.greeted();
    await later.command("MAIL FROM:<a@client.test>", "550 5.7.1 two");
    await former.command("MAIL FROM:<a@client.test>", "550 5.7.1 one");
  });
});
