/** `postern explain`: a real proxy keeps its history, and the command reads it. @module */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { describe, test } from "node:test";
import * as Effect from "effect/Effect";
import { runCli } from "../../src/cli/run.ts";
import type { HistoryEntry } from "../../src/telemetry/history.ts";
import { fakeIo, withFolder, type World } from "../support/cli_io.ts";
import { type Edge, type EdgeOptions, startEdge } from "../support/edge.ts";
import type { SmtpClient } from "../support/smtp_client.ts";

const LIMIT = { timeout: 60_000 };

const CONFIG = `hostname = "mx.example.org"
data_dir = "data"
[[listeners]]
listen = "127.0.0.1:0"
`;

async function explain(folder: string, args: readonly string[], world: World = {}) {
  fs.writeFileSync(path.join(folder, "postern.toml"), CONFIG);
  const io = fakeIo({ cwd: folder, ...world });
  const code = await runCli(["explain", ...args], io);
  return { code, out: io.out(), err: io.err() };
}

/** What the command says about everything that a session did. */
async function explained(
  options: EdgeOptions,
  talk: (client: SmtpClient, edge: Edge) => Promise<void>,
): Promise<string> {
  const more = `${options.more ?? ""}\n[trace]\nhistory = "all"\n`;
  await using edge = await startEdge({ ...options, more });
  await using client = await edge.connect();
  await talk(client, edge);
  client.close();
  // Every session is over then.
  await Effect.runPromise(edge.postern.running.drain);
  const [newest] = await edge.postern.running.history.recent(1);
  assert(newest !== undefined, edge.log());
  const { code, out, err } = await explain(edge.postern.dir, [newest.session.id]);
  assert.deepEqual([code, err], [0, ""]);
  for (const line of out.split("\n")) assert(line.length <= 100, line);
  return out;
}

async function envelope(client: SmtpClient, code = 250): Promise<void> {
  await client.expect(220);
  await client.ehlo();
  await client.command("MAIL FROM:<bob@client.test>", 250);
  await client.command("RCPT TO:<alice@up.test>", code);
}

async function message(client: SmtpClient, code: number): Promise<void> {
  await envelope(client);
  await client.command("DATA", 354);
  await client.sendRaw("Subject: secret words\r\n\r\nsecret body\r\n.\r\n");
  await client.expect(code);
}

const HOOKS = (name: string, hooks: string) => `return { name: "${name}", hooks: { ${hooks} } };`;

describe("postern explain tells", () => {
  test("a delivery: client, envelope, every policy, upstream and answer", LIMIT, async () => {
    const out = await explained({
      plugins: {
        quiet: HOOKS("quiet", "mail: () => undefined, end: () => undefined"),
        tags: HOOKS("tags", 'header: (h) => { h.append("X-One", "secret value"); }'),
        points: HOOKS("points", 'end: () => edge.score(1.5, "ODD", "an oddity")'),
        counts: HOOKS("counts", 'data: () => edge.pass("9 of 10 left")'),
      },
    }, (client) => message(client, 250));
    assert.match(out, /^\S+\.1: delivered 2\S+Z\n/);
    assert.match(out, /client +127\.0\.0\.1 as \S+ to mx, without TLS\n/);
    assert.match(out, /envelope +<bob@client\.test> to <alice@up\.test>, \d+ octets\n/);
    // Who took longer than a millisecond, as on a busy machine, has its time told as well.
    assert.match(out, /policies +quiet +(?:\w+ +\S+ ms +)?no objection\n/);
    assert.match(out, / counts +data +\S+ ms +no objection \(9 of 10 left\)\n/);
    assert.match(out, / tags +header +\S+ ms +adds X-One\n/);
    assert.match(out, / points +end +\S+ ms +\+1\.5 ODD \(an oddity\)\n/);
    assert.match(out, /score +1\.5: ODD 1\.5\n/);
    assert.match(out, /upstream +up \(127\.0\.0\.1:\d+\) said 250 /);
    assert.match(out, /answer +250 2\.0\.0 Ok\n/);
    assert.doesNotMatch(out, /secret|why/);
  });

  test("a refusal: who, with how many points, and who was not asked any more", LIMIT, async () => {
    const out = await explained({
      plugins: {
        points: HOOKS("points", 'mail: () => edge.score(3, "MANY")'),
        strict: HOOKS(
          "strict",
          'header: () => edge.refuse(550, "5.7.1", "Not wanted", "3 points, threshold 2")',
        ),
        late: HOOKS("late", "end: () => undefined"),
        tags: HOOKS("tags", 'header: (h) => { h.append("X-One", "1"); }'),
      },
    }, (client) => message(client, 550));
    assert.match(out, /: refused /);
    assert.match(
      out,
      /strict +header +\S+ ms +refuse 550 5\.7\.1 Not wanted \(3 points, threshold 2\)/,
    );
    assert.match(out, / late +not asked\n/);
    assert.match(out, / tags +not asked\n/);
    assert.match(out, /upstream +up never saw the end of the message/);
    assert.match(
      words(out),
      /why Refused by strict at header with 3 points \(MANY 3\): 3 points, threshold 2\. Nobody else had objected: without strict it would have gone on to late, tags, the upstream up\.$/,
    );
  });

  test(
    "shadows: what they would have done, and that it would have been stopped",
    LIMIT,
    async () => {
      const out = await explained({
        plugins: {
          strict: HOOKS(
            "strict",
            'rcpt: () => edge.refuse(550, "5.1.1", "Unknown"), header: (h) => { h.append("X-S", "1"); return edge.score(4, "S"); }',
          ),
        },
        pluginSettings: 'mode = "shadow"',
      }, (client) => message(client, 250));
      assert.match(out, /rcpt +\S+ ms +would have refused with 550 5\.1\.1 Unknown \(shadow\)\n/);
      assert.match(out, /would have given \+4 S \(shadow\)\n/);
      assert.match(out, /would add X-S \(shadow\)\n/);
      assert.match(
        words(out),
        /why Out of shadow mode it would have been stopped by strict at rcpt/,
      );
    },
  );

  test("who was not asked, because it is not for this one", LIMIT, async () => {
    const out = await explained({
      plugins: { picky: HOOKS("picky", "mail: () => undefined, end: () => undefined") },
      pluginSettings: "when = { tls = true }",
    }, (client) => message(client, 250));
    assert.match(out, / picky +not for this one\n/);
    const asked = await explained({
      plugins: { picky: HOOKS("picky", "mail: () => undefined, end: () => undefined") },
      pluginSettings: 'when = { recipient_domains = ["up.test"] }',
    }, (client) => message(client, 250));
    assert.match(asked, / picky +(?:\w+ +\S+ ms +)?no objection\n/);
  });

  test("a quarantine, and where the body was held", LIMIT, async () => {
    const judge = `return { name: "judge", holdBody: true, hooks: {
      end: () => edge.quarantine("looks odd", "there") } };`;
    const out = await explained({
      plugins: { judge },
      more: '[upstreams.there]\nservers = ["maildir:./there"]\n',
    }, (client) => message(client, 250));
    assert.match(out, /: quarantined /);
    assert.match(out, /octets, held in memory\n/);
    assert.match(out, /judge +end +\S+ ms +quarantine \(looks odd\)\n/);
    assert.match(words(out), /why judge had it delivered to there: looks odd\./);
  });

  test("a failure, and the on_error that stood in for the answer", LIMIT, async () => {
    const out = await explained({
      plugins: { broken: HOOKS("broken", 'end: () => { throw new Error("no luck"); }') },
    }, (client) => message(client, 451));
    assert.match(out, /broken +end +\S+ ms +failed: Error: no luck\n +defer 451 4\.3\.0 /);
    assert.match(
      words(out),
      /why broken failed at end \(Error: no luck\), and its on_error .*pass/,
    );
  });

  test("a refused connection and a refused HELO, which have no transaction", LIMIT, async () => {
    const connect = await explained({
      plugins: { gate: HOOKS("gate", 'connect: () => edge.refuse(554, "5.7.1", "Go away")') },
    }, async (client) => void await client.expect(554));
    assert.match(connect, /^\S+-1: refused /);
    assert.match(words(connect), /why Refused by gate at connect\. Nobody else had objected/);
    assert.doesNotMatch(connect, /envelope|upstream|score/);
    const helo = await explained({
      plugins: { gate: HOOKS("gate", 'helo: () => edge.defer(450, "4.7.1", "Later", "odd name")') },
    }, async (client) => {
      await client.expect(220);
      await client.command("EHLO client.test", 450);
    });
    assert.match(helo, /^\S+-1: deferred /);
    assert.match(words(helo), /why Deferred by gate at helo: odd name\./);
  });

  test(
    "a refused sender; refused recipients, whose transaction came to nothing",
    LIMIT,
    async () => {
      const mail = await explained({
        plugins: { senders: HOOKS("senders", 'mail: () => edge.refuse(550, "5.7.1", "No")') },
      }, async (client) => {
        await client.expect(220);
        await client.ehlo();
        await client.command("MAIL FROM:<bob@client.test>", 550);
      });
      assert.match(mail, /^\S+\.1: refused /);
      assert.match(mail, /envelope +<bob@client\.test> to nobody/);
      assert.match(words(mail), /why Refused by senders at mail\./);
      const policy = await explained({
        plugins: { users: HOOKS("users", 'rcpt: () => edge.refuse(550, "5.1.1", "Unknown")') },
      }, (client) => envelope(client, 550));
      assert.match(policy, /refused +<alice@up\.test> 550 5\.1\.1 Unknown \(users\)\n/);
      assert.match(words(policy), /why Refused by users at rcpt\./);
      const route = await explained({
        routes: '[[routes]]\nto = ["other.test"]\nupstream = "up"',
      }, (client) => envelope(client, 550));
      assert.match(words(route), /why No route takes mail for up\.test by mx without a login/);
      const upstream = await explained({
        script: { rcpt: "550 5.1.1 nobody of that name" },
      }, (client) => envelope(client, 550));
      assert.match(
        words(upstream),
        /why No policy objected .*: up said 550 5\.1\.1 nobody of that/,
      );
    },
  );

  test("what the upstream said no to, and a client that went away", LIMIT, async () => {
    const refused = await explained(
      { script: { dot: "554 5.7.1 spam, I say" } },
      (client) => message(client, 554),
    );
    assert.match(words(refused), /why No policy objected: the upstream up \(\S+\) answered 554 5/);
    const gone = await explained({}, async (client) => {
      await envelope(client);
      await client.command("DATA", 354);
      await client.sendRaw("Subject: x\r\n");
      client.close();
    });
    assert.match(gone, /: aborted /);
    assert.match(words(gone), /why The client did not finish/);
  });

  test("R18: a login that failed, without its password", LIMIT, async () => {
    const out = await explained({
      listener: 'tls = "none"\nauth = "required"\nauth_plaintext_loopback = true',
      users: { alice: "right password" },
    }, async (client, edge) => {
      await client.expect(220);
      await client.ehlo();
      await client.command(`AUTH PLAIN ${btoa("\0alice\0wrong-password")}`, 535);
      for (const name of fs.readdirSync(edge.postern.dir, { recursive: true })) {
        const file = path.join(edge.postern.dir, String(name));
        if (!fs.statSync(file).isFile()) continue;
        assert.doesNotMatch(fs.readFileSync(file, "utf8"), /wrong-password/);
      }
    });
    assert.match(out, /: refused /);
    assert.match(words(out), /answer the login was refused .*why auth-file refused the login\./);
  });

  test(
    "which authenticator knew the login; who stands behind it was not asked",
    LIMIT,
    async () => {
      const knows = (name: string, answer: string) =>
        HOOKS(name, `auth: { mechanisms: ["PLAIN"], verify: ({ user, mechanism }) => ${answer} }`);
      const out = await explained({
        listener: 'tls = "none"\nauth = "optional"\nauth_plaintext_loopback = true',
        plugins: {
          first: knows("first", "undefined"),
          second: knows("second", "({ user, mechanism })"),
          third: knows("third", "({ user, mechanism })"),
        },
      }, async (client) => {
        await client.expect(220);
        await client.ehlo();
        await client.command(`AUTH PLAIN ${btoa("\0alice\0a password")}`, 235);
        await client.command("MAIL FROM:<bob@client.test>", 250);
        await client.command("RCPT TO:<alice@up.test>", 250);
        await client.command("DATA", 354);
        await client.sendRaw("Subject: x\r\n\r\nx\r\n.\r\n");
        await client.expect(250);
      });
      assert.match(
        words(out),
        / first no objection second auth \S+ ms knows alice .*third not asked /,
      );
    },
  );
});

/** One line, one space between words. */
function words(text: string): string {
  return text.replace(/\s+/g, " ").trim();
}

function stored(id: string, over: Partial<HistoryEntry> = {}): string {
  const session = id.split(".")[0]!;
  return `${
    JSON.stringify({
      id,
      time: 1,
      fate: "refused",
      reached: "end",
      ms: 1,
      session: { id: session, listener: "mx", address: "::1", port: 1, helo: "h", esmtp: true },
      asked: [],
      decisions: [],
      ...over,
    })
  }\n`;
}

function keep(folder: string, ...lines: readonly string[]): void {
  fs.mkdirSync(path.join(folder, "data/history"), { recursive: true });
  fs.writeFileSync(path.join(folder, "data/history/transactions.jsonl"), lines.join(""));
}

describe("postern explain finds", () => {
  test("a transaction, a session, and a beginning that is the only one", () =>
    withFolder(async (folder) => {
      keep(folder, ...["a-1.1", "a-1.2", "a-1.10", "a-10.1", "b-1.1"].map((id) => stored(id)));
      const ids = async (id: string) => {
        const { code, out } = await explain(folder, [id, "--json"]);
        assert.equal(code, 0);
        return out.trimEnd().split("\n").map((line) => (JSON.parse(line) as HistoryEntry).id);
      };
      assert.deepEqual(await ids("a-1.1"), ["a-1.1"]);
      assert.deepEqual(await ids("a-1"), ["a-1.1", "a-1.2", "a-1.10"]);
      assert.deepEqual(await ids("b"), ["b-1.1"]);
      assert.deepEqual(await ids("a-10"), ["a-10.1"]);
    }));

  test("in a folder that is named, without a configuration", () =>
    withFolder(async (folder) => {
      keep(folder, stored("a-1.1"));
      const io = fakeIo({ cwd: folder });
      assert.equal(await runCli(["explain", "a-1.1", "--data-dir", "data"], io), 0);
      assert.match(io.out(), /^a-1\.1: refused /);
      const other = fakeIo({ cwd: folder });
      assert.equal(await runCli(["explain", "a-1.1", "--data-dir", "none"], other), 1);
      assert.match(other.err(), /there is no history in \S+none\n$/);
    }));

  test("or says in one line why not, with the newest ids", () =>
    withFolder(async (folder) => {
      const empty = await explain(folder, ["x"]);
      assert.equal(empty.code, 1);
      assert.match(empty.err, /^postern: Cannot explain "x": there is no history in \S+data\n$/);
      keep(folder, stored("a-1.1"), stored("a-2.1", { time: 2, fate: "delivered" }));
      const unknown = await explain(folder, ["x\x1b[31m"]);
      assert.deepEqual([unknown.code, unknown.out], [1, ""]);
      assert.match(unknown.err, /no such id; the newest are a-2\.1 \(delivered\), a-1\.1 /);
      assert.doesNotMatch(unknown.err, /\x1b/);
      const several = await explain(folder, ["a"]);
      assert.equal(several.code, 1);
      assert.match(several.err, /"a": 2 sessions begin so, a-2, a-1 among them\n$/);
      const missing = await explain(folder, []);
      assert.equal(missing.code, 2);
      assert.match(missing.err, /Missing argument ID/);
    }));

  test("R26: what is in the file reaches the terminal escaped", () =>
    withFolder(async (folder) => {
      keep(
        folder,
        stored("a-1.1", {
          reply: "550 \x1b[31mred",
          plugin: "p\x1b[1m",
          cause: "\x9b1m",
          session: {
            id: "a-1",
            listener: "mx",
            address: "::1",
            port: 1,
            helo: "\x1b[2J",
            esmtp: true,
          },
          decisions: [{
            stage: "end",
            plugin: "p\x1b[1m",
            verdict: "refuse",
            evidence: "\x07",
            ms: 1,
          }],
        }),
      );
      const { out } = await explain(folder, ["a-1.1"], { env: { NO_COLOR: "1" } });
      assert.doesNotMatch(out, /[\x00-\x09\x0b-\x1f\x7f-\x9f]/);
    }));
});
