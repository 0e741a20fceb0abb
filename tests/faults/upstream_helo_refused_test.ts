/** A refused EHLO changes nothing (RFC 5321 section 4.1.4): the transaction in flight goes on to its upstream. */
import { test } from "node:test";
import assert from "node:assert/strict";
import { startEdge } from "../support/edge.ts";

test("EHLO refused by a policy in mid-transaction: the message still goes its way", async () => {
  await using edge = await startEdge({
    plugins: {
      judge: `return {
        name: "judge",
        hooks: {
          helo: (name) => name === "bad.test" ? edge.refuse(550, "5.7.1", "No") : undefined,
        },
      };`,
    },
  });
  await using client = await edge.greeted();
  await client.command("MAIL FROM:<a@client.test>", 250);
  await client.command("RCPT TO:<b@up.test>", 250);
  await client.command("EHLO bad.test", 550);
  await client.command("DATA", 354);
  client.sendRaw("Subject: x\r\n\r\nbody\r\n.\r\n");
  assert.equal((await client.reply()).code, 250);
  assert.deepEqual(edge.upstream.messages.map(({ to }) => to), [["b@up.test"]]);
});
