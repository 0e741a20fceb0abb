/**
 * header-rewrite on real header blocks, through the engine: octets that no rule names stay as they are.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { runPlugin } from "@postern/postern/testing";
import * as headerRewrite from "./mod.ts";

const names = ["Subject", "subject", "X-Keep", "X-Spam-A", "Received", "DKIM-Signature"];
const field = fc.tuple(
  fc.constantFrom(...names),
  fc.constantFrom(":", " :", ": ", ":\t"),
  fc.string({
    unit: fc.constantFrom("a", "b c", "\r\n\t", "\xe4", "=?utf-8?Q?=C3=A4?=", " "),
    maxLength: 6,
  }),
).map(([name, colon, value]) => ({ name, octets: `${name}${colon}x${value}x\r\n` }));

test("octets of fields that no rule names stay as they are", async () => {
  const plugin = await runPlugin(headerRewrite, {
    options: {
      remove: ["X-Spam-*"],
      replace: [{ name: "Subject", pattern: "^", value: "[\u00fc] " }],
      add: [{ name: "X-Edge", value: "1" }],
    },
  });
  await plugin.mail("a@example.net");
  await fc.assert(
    fc.asyncProperty(fc.array(field, { minLength: 1, maxLength: 8 }), async (fields) => {
      const { text } = await plugin.header(fields.map(({ octets }) => octets).join("") + "\r\n");
      let rest = text;
      for (const { name, octets } of fields) {
        if (name.startsWith("X-Spam-")) continue;
        if (name.toLowerCase() !== "subject") {
          assert.ok(rest.startsWith(octets), JSON.stringify([rest, octets]));
          rest = rest.slice(octets.length);
          continue;
        }
        const end = /\r\n(?![ \t])/.exec(rest)!.index + 2;
        assert.match(rest.slice(0, end), /^Subject: =\?UTF-8\?/);
        rest = rest.slice(end);
      }
      assert.equal(rest, "X-Edge: 1\r\n\r\n");
    }),
    { numRuns: 200 },
  );
});

test("long encoded subjects are folded to lines of 76 octets", async () => {
  const plugin = await runPlugin(headerRewrite, {
    options: { replace: [{ name: "Subject", value: `${"\u00fc\u00e4 ".repeat(60)}end` }] },
  });
  await plugin.mail("a@example.net");
  const { text } = await plugin.header("Subject: x\r\n\r\n");
  const lines = text.trimEnd().split("\r\n");
  assert.ok(lines.length > 5);
  for (const line of lines) assert.ok(line.length <= 76, line);
});

test("after the verdict: score and subject tag in a held header", async () => {
  const plugin = await runPlugin(headerRewrite, {
    options: {
      after_verdict: true,
      remove: ["X-Spam-*"],
      add: [{ name: "X-Spam-Status", value: "size=${size}" }],
      replace: [{ name: "Subject", pattern: "^", value: "[LARGE] " }],
    },
  });
  await plugin.mail("a@example.net");
  const block = "Subject: x\r\nX-Spam-Status: forged\r\n\r\n";
  assert.equal((await plugin.header(block)).text, block);
  await plugin.body("12345");
  assert.equal(
    (await plugin.end()).text,
    "Subject: [LARGE] x\r\nX-Spam-Status: size=42\r\n\r\n",
  );
});
