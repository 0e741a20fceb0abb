/**
 * SIGTERM: nothing new is taken, what is in flight ends well, who is idle is told, and the process ends in bounded time.
 * @module
 */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as net from "node:net";
import * as path from "node:path";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import { listMaildir } from "../../src/upstream/maildir.ts";
import { withoutTrace } from "../interop/messages.ts";
import { stuffed } from "../support/dot_reader.ts";
import { Ledger, sendAll } from "../support/ledger.ts";
import { servePostern, tempHome } from "../support/postern_process.ts";
import { scriptedUpstream } from "../support/scripted_upstream.ts";
import { SmtpClient } from "../support/smtp_client.ts";

const LIMIT = { timeout: 60_000 };

const SHARED = `
hostname = "mx.example.org"
data_dir = "data"
[[listeners]]
name = "in"
listen = "127.0.0.1:0"
tls = "none"
[[routes]]
to = ["example.org"]
upstream = "out"
`;
const MAILDIR = `${SHARED}[upstreams.out]\nservers = ["maildir:./mail"]\n`;

async function greeted(port: number): Promise<SmtpClient> {
  const client = await SmtpClient.connect(port);
  await client.expect(220);
  await client.ehlo();
  return client;
}

async function envelope(client: SmtpClient, to: string): Promise<void> {
  await client.command("MAIL FROM:<sender@client.test>", 250);
  await client.command(`RCPT TO:<${to}>`, 250);
}

function refuses(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(port, "127.0.0.1");
    socket.once("error", () => resolve(true));
    socket.once("connect", () => {
      socket.destroy();
      resolve(false);
    });
  });
}

async function mailbox(dir: string): Promise<Buffer[]> {
  const messages = await listMaildir(path.join(dir, "mail"));
  return messages.map(({ file }) => withoutTrace(fs.readFileSync(file)));
}

test(
  "R36: SIGTERM ends idle sessions with 421, lets transactions end, and the exit code is 0",
  LIMIT,
  async () => {
    await using home = await tempHome();
    await using postern = await servePostern(home.path, MAILDIR);
    const port = postern.port("in");
    const ledger = new Ledger();
    for (const id of ["body", "envelope"]) ledger.add(id, 100_000);
    await using idle = await greeted(port);
    await using body = await greeted(port);
    await envelope(body, "body@example.org");
    await body.command("DATA", 354);
    const wire = stuffed(ledger.content("body"));
    await body.sendRaw(wire.subarray(0, 50_000));
    await using between = await greeted(port);
    await envelope(between, "envelope@example.org");

    postern.signal("SIGTERM");
    await idle.expect("421 4.3.2");
    await idle.expectClosed();
    idle.close();
    assert.equal(await refuses(port), true, "a new connection was taken");

    body.sendRaw(wire.subarray(50_000));
    await body.expect("250 2.0.0");
    ledger.acknowledge("body");
    await body.expect("421 4.3.2");
    await body.expectClosed();
    body.close();
    await between.command("DATA", 354);
    between.sendRaw(stuffed(ledger.content("envelope")));
    await between.expect("250 2.0.0");
    ledger.acknowledge("envelope");
    await between.expect("421 4.3.2");
    await between.expectClosed();
    between.close();

    assert.deepEqual(await postern.exited, { code: 0, signal: null });
    const delivered = await mailbox(home.path);
    assert.equal(delivered.length, 2);
    ledger.compare(delivered);
  },
);

test("R2, R36: SIGTERM under load loses nothing that was acknowledged", LIMIT, async () => {
  await using home = await tempHome();
  await using upstream = await scriptedUpstream();
  await using postern = await servePostern(
    home.path,
    `${SHARED}[upstreams.out]\nservers = ["${upstream.address}"]\ntls = "none"\n`,
  );
  const ledger = new Ledger();
  let stopping = false;
  const door = () => Promise.resolve(stopping ? undefined : postern.port("in"));
  const senders: Promise<void>[] = [];
  for (let sender = 0; sender < 10; sender++) {
    const ids = Array.from({ length: 100 }, (_, nth) => `s${sender}-m${nth}`);
    ids.forEach((id, nth) => ledger.add(id, nth % 5 === 4 ? 400_000 : 2_000));
    senders.push(sendAll(ledger, ids, "all@example.org", door));
  }
  await ledger.reached(150);
  stopping = true;
  assert.deepEqual(await postern.stop(), { code: 0, signal: null });
  await Promise.all(senders);
  ledger.compare(upstream.messages.map(({ content }) => withoutTrace(Buffer.from(content))));
  // A stop, unlike a crash, leaves no doubt: what was begun has been answered.
  assert.equal(upstream.messages.length, ledger.acknowledged);
});

test(
  "R36: a transaction that does not end is cut off when the drain time is over, and not delivered",
  LIMIT,
  async () => {
    await using home = await tempHome();
    await using postern = await servePostern(home.path, `${MAILDIR}[timeouts]\ndrain = "300ms"\n`);
    await using client = await greeted(postern.port("in"));
    await envelope(client, "never@example.org");
    await client.command("DATA", 354);
    await client.sendRaw("Subject: half\r\n\r\nno end\r\n");
    assert.deepEqual(await postern.stop(), { code: 0, signal: null });
    assert.deepEqual(await mailbox(home.path), []);
  },
);
