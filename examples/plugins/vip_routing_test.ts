import assert from "node:assert/strict";
import { test } from "node:test";
import { pluginTests, runPlugin } from "@postern/postern/testing";
import * as vip from "./vip-routing.ts";

for (const { name, run } of await pluginTests(new URL("vip-routing.ts", import.meta.url))) {
  test(name, run);
}

test("addresses and whole domains, in any case; others take their route", async () => {
  const options = { upstream: "vip", recipients: ["CEO@example.org", "*@board.example.org"] };
  const plugin = await runPlugin(vip, { options });
  await plugin.mail("a@client.test");
  const upstream = async (address: string) => (await plugin.rcpt(address)).rewrite?.upstream;
  assert.equal(await upstream("ceo@EXAMPLE.org"), "vip");
  assert.equal(await upstream("x@board.example.org"), "vip");
  assert.equal(await upstream("x@example.org"), undefined);
  assert.equal(await upstream("constructor@example.org"), undefined);
});

test("options", async () => {
  const start = (options: unknown) => runPlugin(vip, { options });
  await assert.rejects(start({}), /options\.upstream: expected the name[\s\S]*options\.recipients/);
  await assert.rejects(
    start({ upstream: "vip", recipients: ["a@b.test", "x"], more: 1 }),
    /options\.more: unknown key[\s\S]*options\.recipients\[1\]: expected user@domain/,
  );
});
