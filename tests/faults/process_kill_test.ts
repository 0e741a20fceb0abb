/**
 * kill -9 under load: a Postern is killed at any instant and started again, while many clients go on sending. In the end
 * the ledger of what was acknowledged is held against what was delivered.
 * @module
 */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import { listMaildir } from "../../src/upstream/maildir.ts";
import { withoutTrace } from "../interop/messages.ts";
import { Ledger, sendAll } from "../support/ledger.ts";
import { type PosternProcess, servePostern, tempHome } from "../support/postern_process.ts";
import { scriptedUpstream } from "../support/scripted_upstream.ts";
import { SmtpClient } from "../support/smtp_client.ts";

const LIMIT = { timeout: 120_000 };
const SENDERS = 12;
const EACH = 25;
const KILLS = 5;

const SHARED = `
hostname = "mx.example.org"
data_dir = "data"
[[listeners]]
name = "in"
listen = "127.0.0.1:0"
tls = "none"
[limits]
transactions = 1000
[[routes]]
to = ["example.org"]
upstream = "out"
`;

/** A server that is killed and started again, and its current port for those who ask. */
class Phoenix implements AsyncDisposable {
  readonly #dir: string;
  readonly #toml: string;
  #current: Promise<PosternProcess>;

  constructor(dir: string, toml: string) {
    this.#dir = dir;
    this.#toml = toml;
    this.#current = servePostern(dir, toml);
  }

  async port(): Promise<number> {
    return (await this.#current).port("in");
  }

  /** SIGKILL, and a new start; who asks for the port in between waits for it. */
  async rise(): Promise<void> {
    const old = await this.#current;
    old.signal("SIGKILL");
    this.#current = old.exited.then((status) => {
      assert.equal(status.signal, "SIGKILL");
      return servePostern(this.#dir, this.#toml);
    });
    await this.#current;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#current.then((postern) => postern.kill()).catch(() => {});
  }
}

/** Clients that send half of a message and wait: nothing of it may ever be delivered. */
async function holdUnfinished(ledger: Ledger, round: number, port: number): Promise<SmtpClient[]> {
  const clients: SmtpClient[] = [];
  for (const [index, size] of [500, 200_000].entries()) {
    const id = `unfinished-${round}-${index}`;
    ledger.add(id, size);
    const client = await SmtpClient.connect(port);
    clients.push(client);
    await client.expect(220);
    await client.ehlo();
    await client.command("MAIL FROM:<sender@client.test>", 250);
    await client.command("RCPT TO:<unfinished@example.org>", 250);
    await client.command("DATA", 354);
    const content = ledger.content(id);
    // Up to the end of a line: only the dot is missing.
    await client.sendRaw(content.subarray(0, content.lastIndexOf(".\r\n")));
  }
  return clients;
}

/** Sends, kills, and sends on until everything is acknowledged. */
async function run(ledger: Ledger, dir: string, toml: string): Promise<void> {
  await using server = new Phoenix(dir, toml);
  const total = SENDERS * EACH;
  const senders: Promise<void>[] = [];
  for (let sender = 0; sender < SENDERS; sender++) {
    const ids: string[] = [];
    for (let nth = 0; nth < EACH; nth++) {
      const id = `s${sender}-m${nth}`;
      // Mostly small, some so large that a kill finds them half way.
      ledger.add(id, nth % 5 === 4 ? 400_000 : 200 + nth * 700);
      ids.push(id);
    }
    senders.push(sendAll(ledger, ids, `s${sender}@example.org`, () => server.port()));
  }
  const killing = (async () => {
    for (let kill = 1; kill <= KILLS; kill++) {
      const unfinished = await holdUnfinished(ledger, kill, await server.port());
      await ledger.reached(Math.floor((total * (kill - 0.5)) / KILLS));
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 20));
      await server.rise();
      for (const client of unfinished) client.close();
    }
  })();
  await Promise.all([...senders, killing]);
  assert.equal(ledger.acknowledged, total);
}

test(
  "R2: kill -9 under load loses nothing acknowledged and delivers nothing unfinished, into a mailbox",
  LIMIT,
  async () => {
    await using home = await tempHome();
    const ledger = new Ledger();
    await run(ledger, home.path, `${SHARED}[upstreams.out]\nservers = ["maildir:./mail"]\n`);
    const delivered = await listMaildir(path.join(home.path, "mail"));
    ledger.compare(delivered.map(({ file }) => withoutTrace(fs.readFileSync(file))));
  },
);

test(
  "R2: kill -9 under load loses nothing acknowledged and delivers nothing unfinished, to a server",
  LIMIT,
  async () => {
    await using home = await tempHome();
    await using upstream = await scriptedUpstream({
      // Now and then late, so that a kill falls between the dot and its reply.
      dot: () => [
        new Promise((resolve) => setTimeout(resolve, Math.random() * 15)),
        "250 2.0.0 ok",
      ],
    });
    const ledger = new Ledger();
    const servers = `[upstreams.out]\nservers = ["${upstream.address}"]\ntls = "none"\n`;
    await run(ledger, home.path, SHARED + servers);
    ledger.compare(upstream.messages.map(({ content }) => withoutTrace(Buffer.from(content))));
  },
);

test(
  "R2, R3: kill -9 while bodies are held, in memory and on disk: the same, and the restarted one has nothing of theirs",
  LIMIT,
  async () => {
    const hold = 'export default () => ({ name: "hold", holdBody: true, hooks: {} });\n';
    await using home = await tempHome({ "hold.ts": hold });
    await using upstream = await scriptedUpstream({});
    const ledger = new Ledger();
    const held = SHARED.replace("[limits]", '[limits]\nheld_memory = "4KiB"');
    const servers = `[upstreams.out]\nservers = ["${upstream.address}"]\ntls = "none"\n`;
    const plugins = '[[plugins]]\nuse = "./hold.ts"\n';
    await run(ledger, home.path, held + servers + plugins);
    ledger.compare(upstream.messages.map(({ content }) => withoutTrace(Buffer.from(content))));
    assert.deepEqual(fs.readdirSync(path.join(home.path, "data/held")), []);
  },
);
