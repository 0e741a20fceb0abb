/** The client is gone, at every point of a session and by every way: nothing unfinished is delivered (R3). */
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { assertNoDot, type Edge, startEdge } from "../support/edge.ts";
import type { SmtpClient } from "../support/smtp_client.ts";

const head = "Subject: x\r\n\r\n";

/** How far the client comes before it goes. `body`: the upstream's DATA has been accepted. */
interface Point {
  readonly name: string;
  readonly body: boolean;
  readonly reach: (client: SmtpClient, edge: Edge) => Promise<unknown>;
}

async function envelope(client: SmtpClient): Promise<void> {
  await client.command("MAIL FROM:<a@client.test>", 250);
  await client.command("RCPT TO:<b@up.test>", 250);
}

/** Sends the beginning of a message; the upstream has begun to read the body when it is done. */
function during(name: string, octets: string): Point {
  return {
    name,
    body: true,
    reach: async (client, edge) => {
      await envelope(client);
      await client.command("DATA", 354);
      await client.sendRaw(octets);
      await edge.upstream.waitFor("body");
    },
  };
}

function chunks(name: string, octets: string, replies: number): Point {
  return {
    name,
    body: true,
    reach: async (client, edge) => {
      await envelope(client);
      await client.sendRaw(octets);
      for (let i = 0; i < replies; i++) await client.expect(250);
      await edge.upstream.waitFor("body");
    },
  };
}

const points: readonly Point[] = [
  { name: "behind EHLO", body: false, reach: () => Promise.resolve() },
  { name: "in a command", body: false, reach: (client) => client.sendRaw("MAIL FROM:<a@cl") },
  {
    name: "behind MAIL",
    body: false,
    reach: (client) => client.command("MAIL FROM:<a@client.test>", 250),
  },
  { name: "behind RCPT", body: false, reach: envelope },
  during("behind 354", ""),
  during("in the header", "Subject: x\r\nTo: b"),
  during("behind the header", head),
  during("in the body", `${head}half a line`),
  during("before the dot", `${head}line\r\n`),
  during("behind the dot's dot", `${head}line\r\n.`),
  during("before the dot's LF", `${head}line\r\n.\r`),
  during("behind a dot on a line that a bare LF ended", `${head}line\n.\r\n`),
  during("behind a stuffed dot", `${head}line\r\n..\r\n`),
  chunks("in a BDAT chunk", `BDAT 100\r\n${head}`, 0),
  chunks("in the last BDAT chunk", `BDAT 100 LAST\r\n${head}`, 0),
  chunks("one octet before the end of the last chunk", `BDAT 15 LAST\r\n${head}`, 0),
  chunks("behind a BDAT chunk without LAST", `BDAT 14\r\n${head}`, 1),
  chunks("behind a BDAT chunk that ends like DATA", `BDAT 19\r\n${head}\r\n.\r\n`, 1),
  chunks("in the line of BDAT LAST", `BDAT 14\r\n${head}BDAT 0 LAST\r`, 1),
];

const ways: ReadonlyMap<string, (client: SmtpClient) => Promise<unknown> | void> = new Map([
  ["FIN", (client) => client.end()],
  ["RST", (client) => client.reset()],
  ["no word", (client) => client.close()],
]);

for (const secure of [false, true]) {
  describe(`R3: the client goes${secure ? ", under TLS" : ""}`, () => {
    for (const point of points) {
      for (const [way, go] of ways) {
        test(`${point.name}, by ${way}`, async () => {
          await using edge = await startEdge();
          await using client = await edge.greeted();
          if (secure) {
            await client.starttls();
            await client.ehlo();
          }
          await point.reach(client, edge);
          await go(client);
          if (point.body) {
            await edge.postern.recorded(1);
            assert.equal(edge.postern.records[0]?.fate, "aborted");
          }
          // The next client gets a clean connection: nothing of the first one's is on it.
          await using honest = await edge.greeted();
          const answer = await honest.sendMessage({
            to: "c@up.test",
            content: "A: b\r\n\r\nc\r\n",
          });
          assert.equal(answer.code, 250);
          await honest.quit();
          assert.equal(edge.upstream.messages.length, 1, edge.upstream.transcript());
          const [message] = edge.upstream.messages;
          assert.deepEqual(message?.to, ["c@up.test"]);
          assert.equal(Buffer.from(message?.content ?? []).toString(), "A: b\r\n\r\nc\r\n");
        });
      }
    }
  });
}

for (const point of points.filter((p) => p.body)) {
  test(`R3: the data deadline ends a message ${point.name}: 421, no dot`, async () => {
    await using edge = await startEdge({ clock: true, timeouts: 'data = "3m"\ncommand = "4m"' });
    await using client = await edge.greeted();
    await point.reach(client, edge);
    await edge.advanceUntil(60_000, client.expect("421 4.4.2"));
    await client.expectClosed();
    await edge.postern.recorded(1);
    assert.equal(edge.postern.records[0]?.fate, "aborted");
    assertNoDot(edge);
  });
}

test("R3: QUIT and RSET between BDAT chunks are not LAST", async () => {
  for (const command of ["RSET", "QUIT", "EHLO again.test"]) {
    await using edge = await startEdge();
    await using client = await edge.greeted();
    await envelope(client);
    client.sendRaw(`BDAT 14\r\n${head}`);
    await client.expect(250);
    await client.command(command, /^2/);
    await edge.postern.recorded(1);
    assert.equal(edge.postern.records[0]?.fate, "aborted");
    assertNoDot(edge);
  }
});

describe("R1: a client that goes behind the dot", () => {
  for (const [way, go] of ways) {
    test(`has its message delivered once, by ${way}`, async () => {
      const gate = Promise.withResolvers<void>();
      await using edge = await startEdge({ script: { dot: [gate.promise, "250 2.0.0 ok"] } });
      await using client = await edge.greeted();
      await envelope(client);
      await client.command("DATA", 354);
      client.sendRaw(`${head}body\r\n.\r\n`);
      await edge.upstream.waitFor("dot");
      await go(client);
      gate.resolve();
      await edge.postern.recorded(1);
      assert.equal(edge.postern.records[0]?.fate, "delivered");
      assert.equal(edge.upstream.messages.length, 1);
    });
  }

  test("is in the session until then: observers are told of its end last", async () => {
    const gate = Promise.withResolvers<void>();
    await using edge = await startEdge({
      script: { dot: [gate.promise, "250 2.0.0 ok"] },
      plugins: {
        watcher: `return { name: "watcher", hooks: { on: {
          delivered: (tx) => edge.log.info("told: delivered " + tx.session.id),
          closed: (session) => edge.log.info("told: closed " + session.id),
        } } };`,
      },
    });
    await using client = await edge.greeted();
    await envelope(client);
    await client.command("DATA", 354);
    client.sendRaw(`${head}body\r\n.\r\n`);
    await edge.upstream.waitFor("dot");
    await client.reset();
    // By the end of a session that began later the server knows.
    await using later = await edge.greeted();
    await later.quit();
    await edge.postern.logged("told: closed");
    gate.resolve();
    await edge.postern.recorded(1);
    const first = edge.postern.records[0]?.transaction.facts.session.id;
    await edge.postern.logged(`told: closed ${first}`);
    const told = edge.log().split("\n").filter((line) => line.includes(`${first}`))
      .flatMap((line) => /told: (\w+)/.exec(line)?.[1] ?? []);
    assert.deepEqual(told, ["delivered", "closed"]);
  });

  test("and one that only ends its side gets its reply", async () => {
    await using edge = await startEdge();
    await using client = await edge.greeted();
    client.sendRaw(
      `MAIL FROM:<a@client.test>\r\nRCPT TO:<b@up.test>\r\nDATA\r\n${head}body\r\n.\r\nNOOP\r\n`,
    );
    await client.end();
    for (const code of [250, 250, 354, 250, 250]) await client.expect(code);
    await client.expectClosed();
    assert.equal(edge.upstream.messages.length, 1);
  });
});
