/** Bodies that are held until every verdict is in: R1, R3, R7, R29, and what goes wrong with disks and upstreams meanwhile. */
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { MemorySpill, type SpillFile, type SpillStore } from "../../src/transport/spill.ts";
import { listMaildir } from "../../src/upstream/maildir.ts";
import { assertNoDot, onlyMessage, startEdge } from "../support/edge.ts";
import { stuffed } from "../support/dot_reader.ts";
import { fin, rst, scriptedUpstream } from "../support/scripted_upstream.ts";
import type { SmtpClient } from "../support/smtp_client.ts";

const head = "Subject: x\r\n\r\n";

/** Writes the sum of the points into the header; the last hook that can say it. */
const status = `return { name: "status", holdBody: true, hooks: {
  end: (tx: any, { header }: any) => header.append("X-Spam-Status", "score=" + tx.score + " size=" + tx.size),
} };`;

/** Judges by words of the body. */
const judge = `const text = new TextDecoder();
  return { name: "judge", holdBody: true, hooks: { body: { async scan(content: any) {
    let body = "";
    for await (const chunk of content) body = (body + text.decode(chunk)).slice(-4096);
    if (body.includes("refuse-me")) return edge.refuse(550, "5.7.1", "No");
    if (body.includes("discard-me")) return edge.discard("trap");
    if (body.includes("quarantine-there")) return edge.quarantine("odd", "there");
    if (body.includes("quarantine-nowhere")) return edge.quarantine("odd", "nowhere");
    if (body.includes("quarantine-me")) return edge.quarantine("odd");
  } } } };`;

async function open(client: SmtpClient, to = "b@up.test"): Promise<void> {
  await client.command("MAIL FROM:<a@client.test>", 250);
  await client.command(`RCPT TO:<${to}>`, 250);
}

/** MAIL, RCPT, DATA and the content; the answer to the dot is still to be read. */
async function send(client: SmtpClient, content: string | Uint8Array): Promise<void> {
  await open(client);
  await client.command("DATA", 354);
  client.sendRaw(stuffed(Buffer.from(content as string, "latin1")));
}

/** A store whose files do what the test says. */
function store(file: Partial<SpillFile>): SpillStore {
  const spill = new MemorySpill();
  return { create: async () => ({ ...await spill.create(), ...file }) };
}

const contents: ReadonlyMap<string, string> = new Map([
  ["an empty message", ""],
  ["a header block alone", "Subject: x\r\n"],
  ["a header block and no body", head],
  ["a body without a header", "\r\nbody\r\n"],
  ["dot lines", `${head}.\r\n..\r\n...\r\n.a\r\na.\r\n. \r\n`],
  ["a dot as the first octet", `.Subject: x\r\n\r\n.\r\n`],
  ["a text that is no header", "no field here\r\n.\r\n"],
  ["lines of 998 octets", `${head}${"a".repeat(998)}\r\n${".".repeat(998)}\r\n`],
  ["more than a block", `${head}${".dots and more\r\n".repeat(9_000)}`],
]);

for (const split of [1, 7, undefined]) {
  for (const memory of ["1MiB", "100"]) {
    test(`R7: held content of ${memory} in memory passes octet for octet, packets of ${split ?? "all"}`, async () => {
      const spill = new MemorySpill();
      await using edge = await startEdge({
        plugins: { hold: 'return { name: "hold", holdBody: true, hooks: {} };' },
        limits: `idle_commands = 100\nheld_memory = "${memory}B"`.replace("MiBB", "MiB"),
        spill,
      });
      await using client = await edge.greeted(split === undefined ? {} : { split });
      let count = 0;
      const received = () =>
        Buffer.from(edge.upstream.messages[count++]?.content ?? []).toString("latin1");
      for (const [name, content] of contents) {
        if (split !== undefined && content.length > 10_000) continue;
        const octets = Buffer.from(content, "latin1");
        await send(client, content);
        await client.expect("250 2.0.0");
        assert.equal(received(), content, `${name}, by DATA`);
        await open(client);
        const half = octets.length >> 1;
        client.sendRaw(Buffer.concat([
          Buffer.from(`BDAT ${half}\r\n`),
          octets.subarray(0, half),
          Buffer.from(`BDAT ${octets.length - half} LAST\r\n`),
          octets.subarray(half),
        ]));
        await client.expect(250);
        await client.expect("250 2.0.0");
        assert.equal(received(), content, `${name}, by BDAT`);
      }
      assert.equal(spill.open, 0);
      assert.equal(spill.made > 0, memory === "100");
      const where = edge.postern.records.map(({ held }) => held);
      assert.ok(where.includes(memory === "100" ? "file" : "memory"));
    });
  }
}

describe("held header and body", () => {
  test("edits made at the end stand in the header, behind those of the header stage", async () => {
    await using edge = await startEdge({
      plugins: {
        early: `return { name: "early", hooks: { header: (h: any) => h.append("X-Early", "1") } };`,
        scan: `return { name: "scan", hooks: { body: { async scan(content: any, { header }: any) {
          let size = 0;
          for await (const chunk of content) size += chunk.length;
          header.append("X-Scan", String(size));
          return edge.score(2, "SCANNED");
        } } } };`,
        status,
      },
    });
    await using client = await edge.greeted();
    await send(client, `${head}.body\r\n`);
    await client.expect("250 2.0.0");
    assert.equal(
      onlyMessage(edge).toString(),
      "Subject: x\r\nX-Early: 1\r\nX-Scan: 7\r\nX-Spam-Status: score=2 size=21\r\n\r\n.body\r\n",
    );
    const [record] = edge.postern.records;
    assert.equal(record?.held, "memory");
    assert.match(edge.log(), /delivered .*held=memory/);
    assert.deepEqual(
      record?.transaction.trace.entries.filter(({ edits }) => edits !== undefined)
        .map(({ stage, plugin }) => `${stage} ${plugin}`),
      ["header early", "body scan", "end status"],
    );
  });

  test("by BDAT without a last line end, with an edit and a body that is none", async () => {
    await using edge = await startEdge({ plugins: { status } });
    await using client = await edge.greeted();
    await open(client);
    client.sendRaw("BDAT 10 LAST\r\nSubject: x");
    await client.expect("250 2.0.0");
    assert.equal(
      onlyMessage(edge).toString(),
      "Subject: x\r\nX-Spam-Status: score=0 size=10\r\n",
    );
  });

  test("without a plugin that holds there is no header at the end", async () => {
    await using edge = await startEdge({
      plugins: {
        look: `return { name: "look", hooks: {
          end: (tx: any, context: any) => edge.defer(450, "4.0.0", String(context.header)) } };`,
      },
    });
    await using client = await edge.greeted();
    await send(client, head);
    await client.expect("450 4.0.0 undefined");
  });

  test("a plugin that fails or is a shadow edits nothing", async () => {
    const fails = `return { name: "fails", onError: "pass", hooks: {
      end: (tx: any, { header }: any) => { header.append("X-Bad", "1"); throw new Error(); } } };`;
    await using edge = await startEdge({ plugins: { fails, status } });
    await using client = await edge.greeted();
    await send(client, `${head}body\r\n`);
    await client.expect("250 2.0.0");
    assert.ok(!onlyMessage(edge).toString().includes("X-Bad"));

    await using shadow = await startEdge({
      plugins: { status },
      pluginSettings: 'mode = "shadow"\non_error = "refuse"',
    });
    await using other = await shadow.greeted();
    await send(other, `${head}body\r\n`);
    await other.expect("250 2.0.0");
    assert.equal(onlyMessage(shadow).toString(), `${head}body\r\n`);
    assert.equal(shadow.postern.records[0]?.held, undefined);
  });

  test("R10: what a transform makes is canonical, held or not", async () => {
    await using edge = await startEdge({
      plugins: {
        evil: `const evil = new TextEncoder().encode("x\\n.\\n\\r.\\r\\n."); let done = false;
          return { name: "evil", holdBody: true, hooks: { body: { transform: (chunk: any) => {
            if (done || chunk.length === 0) return chunk; done = true; return evil; } } } };`,
      },
    });
    await using client = await edge.greeted();
    await send(client, `${head}body\r\n`);
    await client.expect("250 2.0.0");
    assert.equal(onlyMessage(edge).toString(), `${head}x\r\n.\r\n .\r\n.\r\n`);
  });

  test("the upstream is asked for DATA when the verdict is in, and then only", async () => {
    await using edge = await startEdge({ plugins: { judge } });
    await using client = await edge.greeted();
    await send(client, `${head}refuse-me\r\n`);
    await client.expect("550 5.7.1 No");
    assert.equal(edge.upstream.count("data"), 0);
    await send(client, `${head}discard-me\r\n`);
    await client.expect("250 2.0.0");
    assert.equal(edge.upstream.count("data"), 0);
    await send(client, `${head}fine\r\n`);
    await client.expect("250 2.0.0");
    assert.equal(onlyMessage(edge).toString(), `${head}fine\r\n`);
    assert.deepEqual(edge.postern.records.map(({ fate }) => fate), [
      "refused",
      "discarded",
      "delivered",
    ]);
    // A refused message costs the upstream a RSET, not a connection.
    assert.equal(edge.upstream.connections.length, 1);
  });

  test("SIZE holds: 552, nothing kept, and the session goes on", async () => {
    const spill = new MemorySpill();
    await using edge = await startEdge({
      plugins: { judge },
      limits: 'message_size = "20KiB"\nheld_memory = "1KiB"',
      spill,
    });
    await using client = await edge.greeted();
    await send(client, `${head}${"x".repeat(30_000)}\r\n`);
    await client.expect("552 5.3.4");
    assert.equal(spill.open, 0);
    await client.command("NOOP", 250);
    assertNoDot(edge);
  });

  test("R29: 6 MB go through a real file with the same hash, and no file is left", async () => {
    await using edge = await startEdge({
      plugins: { status },
      script: { keep: false },
      limits: 'held_memory = "8KiB"',
    });
    await using client = await edge.greeted();
    const line = `.${"x".repeat(700)}\r\n`;
    const body = line.repeat(8_500);
    await send(client, head + body);
    await client.expect("250 2.0.0");
    const size = head.length + body.length;
    const wanted = `Subject: x\r\nX-Spam-Status: score=0 size=${size}\r\n\r\n${body}`;
    const wire = Buffer.from(stuffed(Buffer.from(wanted))).subarray(0, -3);
    assert.equal(
      edge.upstream.messages[0]?.sha256,
      createHash("sha256").update(wire).digest("hex"),
    );
    assert.equal(edge.postern.records[0]?.held, "file");
    assert.deepEqual(await readdir(`${edge.postern.dir}/data/held`), []);
  });
});

describe("held bodies and disks", () => {
  const full = () => Promise.reject(new Error("ENOSPC: no space left on device"));
  const broken: ReadonlyMap<string, SpillStore> = new Map<string, SpillStore>([
    ["cannot make a file", { create: full }],
    ["is full at once", store({ write: full })],
    ["cannot be read", store({ read: full })],
    ["has lost what it took", store({ read: () => Promise.resolve(0) })],
  ]);
  for (const [what, spill] of broken) {
    test(`a disk that ${what}: 452 4.3.1, the cause in the log, and the session goes on`, async () => {
      await using edge = await startEdge({
        plugins: { judge },
        limits: 'held_memory = "1KiB"',
        spill,
      });
      await using client = await edge.greeted();
      await send(client, `${head}${"line\r\n".repeat(60_000)}`);
      await client.expect("452 4.3.1");
      assertNoDot(edge);
      await edge.postern.logged("Cannot hold the message");
      assert.equal(edge.postern.records[0]?.fate, "deferred");
      await send(client, `${head}small\r\n`);
      await client.expect("250 2.0.0");
      assert.equal(onlyMessage(edge).toString(), `${head}small\r\n`);
    });
  }

  test("a data folder that takes no files: 452 4.3.1", async () => {
    await using edge = await startEdge({ plugins: { judge }, limits: 'held_memory = "1KiB"' });
    await writeFile(`${edge.postern.dir}/data/held`, "a file where the folder should be");
    await using client = await edge.greeted();
    await send(client, `${head}${"line\r\n".repeat(2_000)}`);
    await client.expect("452 4.3.1");
    assertNoDot(edge);
  });

  test("R29: a disk that is slower than the client slows the client; one that stops is given up", async () => {
    await using edge = await startEdge({
      plugins: { judge },
      limits: 'held_memory = "1KiB"',
      clock: true,
      spill: store({ write: () => new Promise(() => {}) }),
    });
    await using client = await edge.greeted();
    await send(client, `${head}${"line\r\n".repeat(120_000)}`);
    await edge.advanceUntil(60_000, client.expect("452 4.3.1"));
    assertNoDot(edge);
  });

  test("what a kill has left is removed at the next start", async () => {
    await using edge = await startEdge({ top: 'data_dir = "kept"', plugins: { judge } });
    const { dir } = edge.postern;
    await mkdir(`${dir}/kept/held`, { recursive: true });
    await writeFile(`${dir}/kept/held/held-left-over`, "a message");
    await writeFile(`${dir}/kept/held/of-somebody-else`, "not ours");
    await using next = await startEdge({ top: `data_dir = "${dir}/kept"`, plugins: { judge } });
    assert.deepEqual(await readdir(`${dir}/kept/held`), ["of-somebody-else"]);
    await using client = await next.greeted();
    await client.command("NOOP", 250);
  });
});

describe("R3: the client goes while its body is held", () => {
  for (const memory of ["1MiB", "1KiB"]) {
    for (const way of ["end", "reset", "close"] as const) {
      test(`by ${way}, with ${memory} of memory: nothing delivered, nothing left`, async () => {
        const spill = new MemorySpill();
        await using edge = await startEdge({
          plugins: { judge },
          limits: `held_memory = "${memory}"`,
          spill,
        });
        await using client = await edge.greeted();
        await open(client);
        await client.command("DATA", 354);
        await client.sendRaw(`${head}${"line\r\n".repeat(3_000)}`);
        await client[way]();
        await edge.postern.recorded(1);
        assert.equal(edge.postern.records[0]?.fate, "aborted");
        assert.equal(edge.upstream.count("data"), 0);
        assert.equal(spill.open, 0);
      });
    }
  }

  test("while its body goes upstream: without the dot", async () => {
    const spill = new MemorySpill();
    const gate = Promise.withResolvers<void>();
    await using edge = await startEdge({
      plugins: { judge },
      script: { data: [gate.promise, "354 go"] },
      limits: 'held_memory = "1KiB"',
      spill,
    });
    await using client = await edge.greeted();
    await send(client, `${head}${"line\r\n".repeat(3_000)}`);
    await edge.upstream.waitFor("data");
    await client.reset();
    await edge.postern.recorded(1);
    gate.resolve();
    assert.equal(edge.postern.records[0]?.fate, "aborted");
    assertNoDot(edge);
    assert.equal(spill.open, 0);
  });

  test("the drain time is over: the file goes with the session", async () => {
    const spill = new MemorySpill();
    await using edge = await startEdge({
      plugins: { judge },
      limits: 'held_memory = "1KiB"',
      spill,
    });
    await using client = await edge.greeted();
    await open(client);
    await client.command("DATA", 354);
    await client.sendRaw(`${head}${"line\r\n".repeat(3_000)}`);
    await edge.postern.stop();
    assert.equal(edge.postern.records[0]?.fate, "aborted");
    assert.equal(spill.open, 0);
    assertNoDot(edge);
  });
});

describe("the upstream, once the verdict is in", () => {
  test("that hung up while it waited is dialled anew, and hears the envelope anew", async () => {
    await using edge = await startEdge({
      plugins: { judge },
      script: { rcpt: ({ nth }) => nth === 1 ? ["250 2.1.5 ok", fin()] : "250 2.1.5 ok" },
    });
    await using client = await edge.greeted();
    await open(client);
    await client.command("DATA", 354);
    await edge.upstream.waitFor("close");
    client.sendRaw(stuffed(Buffer.from(`${head}body\r\n`)));
    await client.expect("250 2.0.0");
    assert.equal(onlyMessage(edge).toString(), `${head}body\r\n`);
    assert.equal(edge.upstream.count("mail"), 2);
  });

  test("that hung up and then refuses a recipient it had accepted: 451", async () => {
    await using edge = await startEdge({
      plugins: { judge },
      script: { rcpt: ({ nth }) => nth === 1 ? ["250 2.1.5 ok", fin()] : "550 5.1.1 no" },
    });
    await using client = await edge.greeted();
    await open(client);
    await client.command("DATA", 354);
    await edge.upstream.waitFor("close");
    client.sendRaw(stuffed(Buffer.from(`${head}body\r\n`)));
    await client.expect("451 4.4.1");
    assertNoDot(edge);
  });

  for (
    const [what, script, wanted] of [
      ["refuses DATA for good", { data: "554 5.7.1 no" }, /^554 5\.7\.1/],
      ["refuses DATA for now", { data: "451 4.7.1 later" }, /^451 4\.7\.1/],
      ["is lost at DATA", { data: rst() }, /^451 4\.4\./],
      ["answers 250 to DATA", { data: "250 2.0.0 what" }, /^451 4\.4\./],
      ["is lost in the body", { body: { after: 1000, then: rst() } }, /^451 4\.4\.2/],
      [
        "refuses in the body",
        { body: { after: 1000, then: "554 5.6.0 no more" } },
        /^(?:554 5\.6\.0|451 4\.4\.2)/,
      ],
      ["refuses at the dot", { dot: "550 5.7.1 no" }, /^550 5\.7\.1/],
      ["is lost behind the dot", { dot: rst() }, /^451 4\.4\.2/],
    ] as const
  ) {
    test(`${what}: the client is told behind its dot, never 250`, async () => {
      const spill = new MemorySpill();
      await using edge = await startEdge({
        plugins: { judge },
        script,
        limits: 'held_memory = "1KiB"',
        spill,
      });
      await using client = await edge.greeted();
      await send(client, `${head}${"line\r\n".repeat(100_000)}`);
      assert.match((await client.reply()).text, wanted);
      await client.command("NOOP", 250);
      assert.equal(spill.open, 0);
      assert.notEqual(edge.postern.records[0]?.fate, "delivered");
    });
  }

  test("takes nothing any more: 451 4.4.2 after upstream_data", async () => {
    const never = new Promise<void>(() => {});
    await using edge = await startEdge({
      plugins: { judge },
      script: { body: { after: 1000, then: never } },
      clock: true,
      timeouts: 'upstream_data = "1m"',
    });
    await using client = await edge.greeted();
    await send(client, `${head}${`${"y".repeat(98)}\r\n`.repeat(150_000)}`);
    await edge.upstream.waitFor("body");
    await edge.advanceUntil(20_000, client.expect("451 4.4.2"));
    assertNoDot(edge);
  });
});

describe("quarantine", () => {
  const there = (address: string) => `[upstreams.there]\nservers = ["${address}"]`;

  for (const [word, named] of [["quarantine-me", false], ["quarantine-there", true]] as const) {
    test(`goes to the upstream that ${named ? "the plugin names" : "is configured"}, with the whole envelope`, async () => {
      await using other = await scriptedUpstream({});
      await using edge = await startEdge({
        plugins: { judge, status },
        top: named ? "" : 'quarantine = "there"',
        more: there(other.address),
      });
      await using client = await edge.greeted();
      await client.command("MAIL FROM:<a@client.test>", 250);
      await client.command("RCPT TO:<b@up.test>", 250);
      await client.command("RCPT TO:<c@up.test>", 250);
      await client.command("DATA", 354);
      client.sendRaw(`${head}${word}\r\n.\r\n`);
      await client.expect("250 2.0.0 Ok");
      assertNoDot(edge);
      assert.equal(edge.upstream.count("data"), 0);
      const [message] = other.messages;
      assert.deepEqual(message?.to, ["b@up.test", "c@up.test"]);
      assert.match(Buffer.from(message?.content ?? []).toString(), /X-Spam-Status.*quarantine-/s);
      const [record] = edge.postern.records;
      assert.equal(record?.fate, "quarantined");
      assert.equal(record?.upstream, "there");
      assert.equal(record?.cause, "odd");
      assert.match(edge.log(), /quarantined .*upstream=there .*cause=odd/);
      // The first upstream can be used at once.
      await send(client, `${head}fine\r\n`);
      await client.expect("250 2.0.0");
      assert.equal(edge.upstream.connections.length, 1);
    });
  }

  test("into a mailbox beside the server", async () => {
    await using edge = await startEdge({
      plugins: { judge },
      top: 'quarantine = "box"',
      more: '[upstreams.box]\nservers = ["maildir:./box"]',
    });
    await using client = await edge.greeted();
    await send(client, `${head}quarantine-me\r\n.\r\n`);
    await client.expect("250 2.0.0");
    assertNoDot(edge);
    const [found] = await listMaildir(`${edge.postern.dir}/box`);
    const text = await readFile(found?.file ?? "", "utf8");
    assert.ok(text.endsWith(`${head}quarantine-me\r\n.\r\n`), text);
    assert.equal(edge.postern.records[0]?.fate, "quarantined");
  });

  test("to the upstream that the message goes to anyway is a delivery", async () => {
    await using edge = await startEdge({ plugins: { judge }, top: 'quarantine = "up"' });
    await using client = await edge.greeted();
    await send(client, `${head}quarantine-me\r\n`);
    await client.expect("250 2.0.0");
    onlyMessage(edge);
  });

  for (const word of ["quarantine-me", "quarantine-nowhere"]) {
    test(`${word}: to no upstream that exists: 451, one line in the log`, async () => {
      await using edge = await startEdge({ plugins: { judge } });
      await using client = await edge.greeted();
      await send(client, `${head}${word}\r\n`);
      await client.expect("451 4.3.0");
      assertNoDot(edge);
      assert.match(edge.log(), /no such upstream for a quarantine .*plugin=judge/);
    });
  }

  test("without a held body: 451, one line in the log that says what to do", async () => {
    await using other = await scriptedUpstream({});
    await using edge = await startEdge({
      plugins: { late: `return { name: "late", hooks: { end: () => edge.quarantine("odd") } };` },
      top: 'quarantine = "there"',
      more: there(other.address),
    });
    await using client = await edge.greeted();
    await send(client, `${head}body\r\n`);
    await client.expect("451 4.3.0");
    assertNoDot(edge);
    assert.equal(other.messages.length, 0);
    assert.match(edge.log(), /the plugin has to hold the body/);
  });

  for (
    const [what, script] of [
      ["refuses a recipient", { rcpt: "550 5.1.1 no" }],
      ["refuses the content", { dot: "554 5.6.0 no" }],
      ["refuses DATA", { data: "554 5.7.1 no" }],
      ["is not there", { banner: "554 5.3.2 no" }],
      ["is lost behind the dot", { dot: rst() }],
    ] as const
  ) {
    test(`whose upstream ${what}: 451, the client comes again`, async () => {
      await using other = await scriptedUpstream(script);
      await using edge = await startEdge({
        plugins: { judge },
        top: 'quarantine = "there"',
        more: there(other.address),
      });
      await using client = await edge.greeted();
      await send(client, `${head}quarantine-me\r\n`);
      assert.match((await client.reply()).text, /^451 4\./);
      assert.ok(["deferred", "unknown"].includes(edge.postern.records[0]?.fate ?? ""));
      assertNoDot(edge);
      await send(client, `${head}fine\r\n`);
      await client.expect("250 2.0.0");
    });
  }
});
