import assert from "node:assert/strict";
import { test } from "node:test";
import { pluginTests, type RunOptions, runPlugin } from "@postern/postern/testing";
import * as tag from "./subject-tag.ts";

for (const { name, run } of await pluginTests(new URL("subject-tag.ts", import.meta.url))) {
  test(name, run);
}

async function tagged(header: string, more: RunOptions = {}): Promise<string> {
  const plugin = await runPlugin(tag, { options: { tag: "[External]" }, ...more });
  await plugin.mail("a@client.test");
  return (await plugin.header(header)).text.trimEnd();
}

test("once, also where there is no subject, and not behind a login", async () => {
  assert.equal(await tagged("Subject: Hi"), "Subject: [External] Hi");
  assert.equal(await tagged("Subject: Re: [External] Hi"), "Subject: Re: [External] Hi");
  assert.equal(await tagged("From: a@b.test"), "From: a@b.test\r\nSubject: [External]");
  const session = { identity: { user: "anna", mechanism: "PLAIN" } };
  assert.equal(await tagged("Subject: Hi", { session }), "Subject: Hi");
});

test("options", async () => {
  for (const value of [undefined, "", "two\nlines", "\u00fc", "x".repeat(50)]) {
    await assert.rejects(runPlugin(tag, { options: { tag: value } }), /options\.tag: expected/);
  }
});
