/** `when`, `percent` and shadows through the whole server: who is asked, and what the log says of those that had no effect. */
import { test } from "node:test";
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { canaryPlace } from "../../src/pipeline/condition.ts";
import { onlyMessage, startEdge } from "../support/edge.ts";

const refuses = `return { name: "refuses", hooks: {
  end: () => edge.refuse(550, "5.7.1", "No") } };`;

test("what a shadow would have done stands in the record and in the log", async () => {
  await using edge = await startEdge({
    plugins: { refuses },
    pluginSettings: 'mode = "shadow"',
  });
  await using client = await edge.greeted();
  assert.equal((await client.sendMessage({ to: "b@up.test" })).code, 250);
  const [record] = edge.postern.records;
  assert.equal(record?.fate, "delivered");
  assert.deepEqual(
    [record?.wouldHave?.plugin, record?.wouldHave?.verdict, record?.wouldHave?.stage],
    ["refuses", "refuse", "end"],
  );
  assert.match(edge.log(), /delivered .*would_have="?refuse refuses/);
});

test("what a shadow would have done to the session counts for its transactions", async () => {
  await using edge = await startEdge({
    plugins: {
      closed: `return { name: "closed", hooks: {
        connect: () => edge.drop(554, "5.7.1", "Go away") } };`,
    },
    pluginSettings: 'mode = "shadow"',
  });
  await using client = await edge.greeted();
  assert.equal((await client.sendMessage({ to: "b@up.test" })).code, 250);
  assert.equal(edge.postern.records[0]?.wouldHave?.verdict, "drop");
});

test("a canary refuses in its share of the sessions and tells what it would have done in the others", async () => {
  await using edge = await startEdge({ plugins: { refuses }, pluginSettings: "percent = 50" });
  for (let i = 0; i < 12; i++) {
    await using client = await edge.greeted();
    const { code } = await client.sendMessage({ to: "b@up.test" });
    const record = edge.postern.records[i];
    const inside = canaryPlace(record?.transaction.session.id ?? "") < 50;
    assert.equal(code, inside ? 550 : 250);
    assert.equal(record?.wouldHave?.verdict, inside ? undefined : "refuse");
  }
});

test("a plugin is asked, and the body held, for the recipients it is there for", async () => {
  await using edge = await startEdge({
    plugins: {
      status: `return { name: "status", holdBody: true, hooks: {
        end: (tx: any, { header }: any) => header.append("X-Status", "seen") } };`,
    },
    pluginSettings: 'when = { recipient_domains = ["*.up.test"], networks = ["127.0.0.0/8"] }',
  });
  await using client = await edge.greeted();
  assert.equal((await client.sendMessage({ to: "b@up.test" })).code, 250);
  assert.ok(!onlyMessage(edge).toString().includes("X-Status"));
  assert.equal((await client.sendMessage({ to: ["b@up.test", "b@a.up.test"] })).code, 250);
  assert.match(Buffer.from(edge.upstream.messages[1]?.content ?? []).toString(), /X-Status: seen/);
  assert.deepEqual(edge.postern.records.map(({ held }) => held), [undefined, "memory"]);
});
