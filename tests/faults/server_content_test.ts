/** Content through the whole server, octet for octet: R7 to R11, R33, R37. */
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import fc from "fast-check";
import { assertNoDot, type Edge, onlyMessage, startEdge } from "../support/edge.ts";
import { stuffed } from "../support/dot_reader.ts";
import type { SmtpClient } from "../support/smtp_client.ts";

const head = "Subject: x\r\n\r\n";

/** MAIL and one RCPT. */
async function open(client: SmtpClient, to = "b@up.test"): Promise<void> {
  await client.command("MAIL FROM:<a@client.test>", 250);
  await client.command(`RCPT TO:<${to}>`, 250);
}

async function data(client: SmtpClient, octets: Uint8Array | string): Promise<void> {
  await open(client);
  await client.command("DATA", 354);
  client.sendRaw(octets);
}

/** What came out, as text in which every octet is one character. */
function received(edge: Edge, at: number): string {
  return Buffer.from(edge.upstream.messages[at]?.content ?? []).toString("latin1");
}

const exact: ReadonlyMap<string, string> = new Map([
  ["an empty message", ""],
  ["one empty line", "\r\n"],
  ["a header block alone", "Subject: x\r\n"],
  ["a header block and no body", head],
  ["a body without a header", "\r\nbody\r\n"],
  ["dot lines", `${head}.\r\n..\r\n...\r\n.a\r\na.\r\n. \r\n`],
  ["a dot as the first octet", `.Subject: x\r\n\r\n.\r\n`],
  ["empty lines at the end", `${head}a\r\n\r\n\r\n\r\n`],
  ["all octets but CR, LF and NUL", `${head}${octetsBut(0, 10, 13)}\r\n`],
  ["lines of 998 octets", `${head}${"a".repeat(998)}\r\n${".".repeat(998)}\r\n`],
  ["lines of 1000 and 1001 octets", `${head}${"a".repeat(1000)}\r\n${"b".repeat(1001)}\r\n`],
  ["a line of 100 KB", `${head}${"x".repeat(100_000)}\r\n`],
  ["a header field of many lines", `Subject: x\r\n\ty\r\n  z\r\nBroken\r\nA:\r\n\r\nb\r\n`],
  ["white space at line ends", `${head}a \t\r\n\t\r\n \r\n`],
]);

function octetsBut(...without: readonly number[]): string {
  let text = "";
  for (let octet = 0; octet < 256; octet++) {
    if (!without.includes(octet)) text += String.fromCharCode(octet);
  }
  return text;
}

for (const split of [1, 2, 3, 7, undefined]) {
  test(`R7: content passes octet for octet by DATA and BDAT, packets of ${split ?? "all"}`, async () => {
    await using edge = await startEdge({ limits: "idle_commands = 100" });
    await using client = await edge.greeted(split === undefined ? {} : { split });
    let count = 0;
    for (const [name, content] of exact) {
      // A hundred thousand packets of one octet would test the kernel.
      if (split !== undefined && content.length > 10_000) continue;
      const octets = Buffer.from(content, "latin1");
      await data(client, stuffed(octets));
      await client.expect("250 2.0.0");
      assert.equal(received(edge, count++), content, `${name}, by DATA`);
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
      assert.equal(received(edge, count++), content, `${name}, by BDAT`);
    }
    await client.quit();
  });
}

test("R7: a message cut into two packets anywhere arrives whole", async () => {
  await using edge = await startEdge();
  await using client = await edge.greeted();
  const content = "A: b\r\n\r\n.\r\n\r\n..x\r\n";
  const wire = Buffer.from(stuffed(Buffer.from(content)));
  for (let cut = 1; cut < wire.length; cut++) {
    await data(client, wire.subarray(0, cut));
    await client.sendRaw(wire.subarray(cut));
    await client.expect("250 2.0.0");
    assert.equal(received(edge, cut - 1), content);
  }
});

test("R7: random content, random cuts", async () => {
  await using edge = await startEdge();
  await using client = await edge.greeted();
  let count = 0;
  const line = fc.string({ unit: fc.constantFrom("a", ".", " ", "\u00ff", ":"), maxLength: 12 });
  await fc.assert(
    fc.asyncProperty(fc.array(line, { maxLength: 8 }), fc.nat(40), async (lines, cut) => {
      const content = lines.map((text) => `${text}\r\n`).join("");
      const wire = Buffer.from(stuffed(Buffer.from(content, "latin1")));
      await data(client, wire.subarray(0, cut));
      client.sendRaw(wire.subarray(cut));
      await client.expect("250 2.0.0");
      assert.equal(received(edge, count++), content);
    }),
    { numRuns: 60 },
  );
});

test("R7: 8 MB of 8-bit octets arrive with the same hash, and nothing is kept of them", async () => {
  await using edge = await startEdge({ script: { keep: false } });
  await using client = await edge.greeted();
  const line = Buffer.from(`.${octetsBut(0, 10, 13).repeat(3)}\r\n`, "latin1");
  const body = Buffer.concat([Buffer.from(head), ...Array.from({ length: 10_500 }, () => line)]);
  await data(client, stuffed(body));
  await client.expect("250 2.0.0");
  const wire = Buffer.from(stuffed(body)).subarray(0, -3);
  assert.equal(
    edge.upstream.messages[0]?.sha256,
    createHash("sha256").update(wire).digest("hex"),
  );
});

test("R7: only a Received field is added, in front", async () => {
  await using edge = await startEdge({ top: "", more: '[[plugins]]\nuse = "received"' });
  await using client = await edge.greeted();
  const content = `X-A: 1\r\nx-a: 2\r\n\r\n.\r\nbody\r\n`;
  await data(client, stuffed(Buffer.from(content)));
  await client.expect(250);
  const got = onlyMessage(edge).toString("latin1");
  assert.ok(got.endsWith(content), got);
  assert.match(got.slice(0, -content.length), /^Received: [^\r\n]+(?:\r\n[ \t][^\r\n]+)*\r\n$/);
});

describe("R8: long lines", () => {
  const long = `${head}${"y".repeat(5000)}\r\nend\r\n`;
  test("pass whole", async () => {
    await using edge = await startEdge();
    await using client = await edge.greeted();
    await data(client, stuffed(Buffer.from(long)));
    await client.expect(250);
    assert.equal(onlyMessage(edge).toString(), long);
  });
  for (const content of [long, `Subject: ${"y".repeat(5000)}\r\n\r\nx\r\n`]) {
    test(`are refused as set, in a ${content === long ? "body" : "header"}`, async () => {
      await using edge = await startEdge({ limits: 'long_lines = "reject"' });
      await using client = await edge.greeted();
      await data(client, stuffed(Buffer.from(content)));
      await client.expect("554 5.6.0");
      await client.quit();
      assertNoDot(edge);
    });
  }
  test("of exactly 1000 octets with their CRLF are not long", async () => {
    await using edge = await startEdge({ limits: 'long_lines = "reject"' });
    await using client = await edge.greeted();
    await data(client, stuffed(Buffer.from(`${head}.${"z".repeat(997)}\r\n`)));
    await client.expect(250);
    await data(client, stuffed(Buffer.from(`${head}.${"z".repeat(998)}\r\n`)));
    await client.expect("554 5.6.0");
    onlyMessage(edge);
  });
});

/** What some server somewhere takes, or took, for the end of data. */
const smuggles: ReadonlyMap<string, string> = new Map([
  ["LF.LF", "\n.\n"],
  ["LF.CRLF", "\n.\r\n"],
  ["CRLF.LF", "\r\n.\n"],
  ["CR.CR", "\r.\r"],
  ["CR.CRLF", "\r.\r\n"],
  ["CR.LF", "\r.\n"],
  ["CRLF.CR", "\r\n.\r"],
  ["LF.CR", "\n.\r"],
  ["CRLF NUL.CRLF", "\r\n\0.\r\n"],
  ["CRLF.NUL CRLF", "\r\n.\0\r\n"],
  ["CRLF.CR NUL LF", "\r\n.\r\0\n"],
  ["CR NUL LF.CRLF", "\r\0\n.\r\n"],
  ["LF.CR CRLF", "\n.\r\r\n"],
  ["CRLF.CR CRLF", "\r\n.\r\r\n"],
  ["CR CRLF.CR CRLF", "\r\r\n.\r\r\n"],
  ["LF..LF", "\n..\n"],
  ["LF..CRLF", "\n..\r\n"],
  ["CRLF..CRLF", "\r\n..\r\n"],
  ["VT.VT", "\v.\v"],
  ["NEL.NEL", "\x85.\x85"],
  ["LS.LS", "\u2028.\u2028"],
]);

const second = "MAIL FROM:<evil@client.test>\r\nRCPT TO:<victim@up.test>\r\nDATA\r\nsmuggled";

/** Exactly one message went on, with nothing in it that could be read as another end of data. */
function assertOneCleanMessage(edge: Edge): void {
  onlyMessage(edge);
  assert.deepEqual(edge.upstream.messages[0]?.to, ["b@up.test"]);
  for (const { bodies, commands } of edge.upstream.connections) {
    assert.ok(!commands.some((line) => line.includes("evil")), "a smuggled command went upstream");
    for (const { raw } of bodies) {
      const wire = Buffer.from(raw).toString("latin1");
      assert.ok(!/\r(?!\n)|(?<!\r)\n|\0/.test(wire), `bare CR, LF or NUL upstream: ${wire}`);
      assert.ok(!/(?:^|\r\n)\.\r\n/.test(wire), "end of data in the content");
    }
  }
}

describe("R9, R10: one message in is one message out", () => {
  for (const [name, sequence] of smuggles) {
    const content = `${head}first${sequence}${second}`;
    for (const submission of [false, true]) {
      const who = submission ? "an authenticated user" : "anybody";
      test(`${name} by DATA, DATA in packets of 1, and BDAT, from ${who}`, async () => {
        for (const way of ["data", "split", "bdat"] as const) {
          await using edge = await startEdge({
            ...(submission
              ? {
                listener: 'auth = "required"\nauth_plaintext_loopback = true',
                plugins: { anyone },
              }
              : {}),
          });
          await using client = await edge.greeted(way === "split" ? { split: 1 } : {});
          if (submission) await client.authPlain("u", "p");
          const octets = Buffer.from(content, "utf8");
          if (way === "bdat") {
            await open(client);
            client.sendRaw(Buffer.concat([
              Buffer.from(`BDAT ${octets.length} LAST\r\n`),
              octets,
            ]));
          } else await data(client, Buffer.concat([octets, Buffer.from("\r\n.\r\n")]));
          await client.expect("250 2.0.0");
          await client.command("NOOP", 250);
          assertOneCleanMessage(edge);
        }
      });
    }
  }

  test("BDAT chunks cut between the octets of a terminator", async () => {
    for (const [name, sequence] of smuggles) {
      await using edge = await startEdge();
      await using client = await edge.greeted();
      await open(client);
      const parts = [`${head}first`, ...sequence, second].map((part) => Buffer.from(part));
      client.sendRaw(Buffer.concat(
        parts.flatMap((part, i) => [
          Buffer.from(`BDAT ${part.length}${i === parts.length - 1 ? " LAST" : ""}\r\n`),
          part,
        ]),
      ));
      for (const _ of parts) await client.expect(250);
      await client.command("NOOP", 250);
      assertOneCleanMessage(edge);
      assert.ok(onlyMessage(edge).includes("smuggled"), name);
    }
  });

  test("any sequence of CR, LF, dot, NUL and letters, random cuts", async () => {
    await using edge = await startEdge();
    await using client = await edge.greeted();
    const unit = fc.constantFrom("\r", "\n", "\r\n", ".", "\0", "a");
    let count = 0;
    await fc.assert(
      fc.asyncProperty(fc.string({ unit, maxLength: 14 }), fc.nat(20), async (text, cut) => {
        // Its own end must be the only one, or the rest are commands.
        const octets = Buffer.from(`${text}\r\n.\r\n`);
        fc.pre(!text.startsWith(".\r\n") && text !== ".");
        fc.pre(octets.indexOf("\r\n.\r\n") === text.length);
        await data(client, octets.subarray(0, cut));
        client.sendRaw(octets.subarray(cut));
        await client.expect("250 2.0.0");
        count += 1;
        assert.equal(edge.upstream.messages.length, count);
        const bodies = edge.upstream.connections.flatMap((connection) => connection.bodies);
        const wire = Buffer.from(bodies.at(-1)?.raw ?? []).toString("latin1");
        assert.ok(!/\r(?!\n)|(?<!\r)\n|\0/.test(wire), JSON.stringify(wire));
      }),
      { numRuns: 150 },
    );
  });

  test("bare_newline = reject: 554 5.6.0 behind the real end, by DATA and BDAT", async () => {
    for (const sequence of smuggles.values()) {
      if (!/\r(?!\n)|(?<!\r)\n|\0/.test(sequence)) continue;
      await using edge = await startEdge({ limits: 'bare_newline = "reject"' });
      await using client = await edge.greeted();
      const octets = Buffer.from(`${head}first${sequence}${second}`);
      await data(client, Buffer.concat([octets, Buffer.from("\r\n.\r\n")]));
      await client.expect("554 5.6.0");
      await client.command("NOOP", 250);
      await open(client);
      client.sendRaw(Buffer.concat([Buffer.from(`BDAT ${octets.length} LAST\r\n`), octets]));
      await client.expect("554 5.6.0");
      await client.command("NOOP", 250);
      assertNoDot(edge);
    }
  });
});

const anyone = `return { name: "anyone", hooks: { auth: { mechanisms: ["PLAIN", "LOGIN"],
  verify: ({ user, mechanism }: any) => ({ user, mechanism }) } } };`;

describe("R11: BDAT", () => {
  test("octets of refused chunks are taken off the stream, in every state", async () => {
    await using edge = await startEdge({ script: { rcpt: "550 5.1.1 no" }, limits: "errors = 50" });
    await using client = await edge.greeted();
    const chunk = "BDAT 23 LAST\r\nRSET\r\nQUIT\r\nMAIL FROM:\n";
    client.sendRaw(chunk);
    await client.expect("503 5.5.1");
    await client.command("MAIL FROM:<a@client.test>", 250);
    client.sendRaw(chunk);
    await client.expect("554 5.5.1");
    await client.command("RCPT TO:<b@up.test>", "550 5.1.1");
    client.sendRaw(chunk);
    await client.expect("554 5.5.1");
    client.sendRaw("BDAT 0 LAST\r\n");
    await client.expect(/^5/);
    await client.command("NOOP", 250);
    assertNoDot(edge);
  });

  test("chunks behind a refused one are taken too", async () => {
    await using edge = await startEdge({ script: { data: "554 5.7.1 no" } });
    await using client = await edge.greeted();
    await open(client);
    client.sendRaw("BDAT 6\r\nQUIT\r\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n");
    await client.expect("554 5.7.1");
    await client.expect(/^503/);
    await client.expect(250);
    assertNoDot(edge);
  });

  test("above SIZE: the rest is read, 552, and the session goes on", async () => {
    await using edge = await startEdge({ limits: 'message_size = "10KiB"' });
    await using client = await edge.greeted();
    await open(client);
    client.sendRaw(`BDAT 20000 LAST\r\n${"x".repeat(20_000)}`);
    await client.expect("552 5.3.4");
    await open(client);
    client.sendRaw(`BDAT 6000\r\n${"x".repeat(6000)}BDAT 6000\r\n${"x".repeat(6000)}`);
    await client.expect(250);
    await client.expect("552 5.3.4");
    await client.command("NOOP", 250);
    await data(client, `${"x".repeat(20_000)}\r\n.\r\n`);
    await client.expect("552 5.3.4");
    await client.command("MAIL FROM:<a@client.test> SIZE=20000", "552 5.3.4");
    await client.command("NOOP", 250);
    assertNoDot(edge);
  });

  test("only 1*20DIGIT is a size, and no number is too large to be one or the other", async () => {
    await using edge = await startEdge({ limits: "errors = 50" });
    await using client = await edge.greeted();
    await open(client);
    for (
      const size of ["", "-1", "+1", "0x10", "1e3", " 1", "1 ", "1.0", "1 LAST x", "1 FIRST", "a"]
        .concat(["123456789012345678901", "99999999999999999999", "9007199254740993", "NaN"])
    ) {
      if (size === "1 ") continue;
      await client.command(`BDAT ${size}`, "501 5.5.4");
    }
    await client.command("NOOP", 250);
    client.sendRaw("BDAT 3 last\r\na\r\n");
    await client.expect(250);
    assert.equal(onlyMessage(edge).toString(), "a\r\n");
  });

  test("a declared chunk of petabytes costs nothing, and is not a message when the client goes", async () => {
    await using edge = await startEdge();
    const client = await edge.greeted();
    await open(client);
    client.sendRaw("BDAT 9007199254740991 LAST\r\nSubject: x\r\n\r\nbody\r\n");
    await edge.upstream.waitFor("body");
    client.close();
    await edge.postern.recorded(1);
    assert.equal(edge.postern.records[0]?.fate, "aborted");
    assertNoDot(edge);
  });

  test("only RSET, QUIT, NOOP and BDAT are in order between chunks", async () => {
    await using edge = await startEdge();
    await using client = await edge.greeted();
    await open(client);
    client.sendRaw("BDAT 3\r\na\r\n");
    await client.expect(250);
    for (const command of ["DATA", "RCPT TO:<c@up.test>", "MAIL FROM:<c@up.test>"]) {
      await client.command(command, "503 5.5.1");
    }
    await client.command("NOOP", 250);
    await client.command("RSET", 250);
    client.sendRaw("BDAT 3 LAST\r\nb\r\n");
    await client.expect("503 5.5.1");
    assertNoDot(edge);
  });

  test("content without a line end gets one, an empty last chunk is a whole message", async () => {
    await using edge = await startEdge();
    await using client = await edge.greeted();
    for (const [content, wanted] of [["a: b\r\n\r\nno end", "a: b\r\n\r\nno end\r\n"], ["", ""]]) {
      await open(client);
      client.sendRaw(`BDAT ${content?.length}\r\n${content}BDAT 0 LAST\r\n`);
      await client.expect(250);
      await client.expect(250);
      assert.equal(received(edge, edge.upstream.messages.length - 1), wanted);
    }
  });
});

describe("R37: loops", () => {
  const field = "Received: from a by b; Mon, 1 Jan 2024 00:00:00 +0000\r\n";
  for (const [name, header] of [["Received", field], ["rECEIVED", field.replace("R", "r")]]) {
    test(`30 ${name} fields pass, 99 pass, 100 are refused with 554 5.4.6`, async () => {
      await using edge = await startEdge();
      await using client = await edge.greeted();
      for (const count of [30, 99]) {
        await data(client, `${header?.repeat(count)}\r\nbody\r\n.\r\n`);
        await client.expect(250);
      }
      await data(client, `${header?.repeat(100)}\r\nbody\r\n.\r\n`);
      await client.expect("554 5.4.6");
      await data(client, `${header?.repeat(100)}.\r\n`);
      await client.expect("554 5.4.6");
      await open(client);
      const content = `${header?.repeat(100)}\r\nbody\r\n`;
      client.sendRaw(`BDAT ${content.length} LAST\r\n${content}`);
      await client.expect("554 5.4.6");
      assert.equal(edge.upstream.messages.length, 2);
    });
  }
});
