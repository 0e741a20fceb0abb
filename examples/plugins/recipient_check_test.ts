import assert from "node:assert/strict";
import * as http from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { runPlugin } from "@postern/postern/testing";
import * as check from "./recipient-check.ts";

/** A service whose answer is a status. */
async function withService(
  status: (address: string) => number | undefined,
  work: (url: string, asked: string[]) => Promise<void>,
): Promise<void> {
  const asked: string[] = [];
  const server = http.createServer((request, response) => {
    const address = new URL(request.url ?? "", "http://x").searchParams.get("address") ?? "";
    asked.push(address);
    const answer = status(address);
    // Undefined: it never answers.
    if (answer !== undefined) response.writeHead(answer).end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  try {
    await work(`http://127.0.0.1:${port}/exists`, asked);
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
}

test("yes, no, and both from the cache until they are stale", () =>
  withService((address) => address.startsWith("nobody") ? 404 : 200, async (url, asked) => {
    const plugin = await runPlugin(check, { options: { url, ttl: 60 } });
    await plugin.mail("a@client.test");
    const answer = async (to: string) => (await plugin.rcpt(to)).verdict.verdict;
    assert.equal(await answer("anna+x@example.org"), "pass");
    assert.equal(await answer("nobody@example.org"), "refuse");
    assert.equal(await answer("anna+x@example.org"), "pass");
    assert.equal(await answer("nobody@example.org"), "refuse");
    assert.deepEqual(asked, ["anna+x@example.org", "nobody@example.org"]);
    await plugin.clock.advance(60_000);
    assert.equal(await answer("anna+x@example.org"), "pass");
    assert.equal(asked.length, 3);
    assert.equal(plugin.counts.get("cached"), 2);
  }));

test("a service in trouble: who is known is known, others come again", async () => {
  let status: number | undefined = 200;
  await withService(() => status, async (url) => {
    const plugin = await runPlugin(check, { options: { url, ttl: 0 } });
    await plugin.mail("a@client.test");
    const answer = async (to: string) => (await plugin.rcpt(to)).verdict.verdict;
    assert.equal(await answer("anna@example.org"), "pass");
    status = 500;
    assert.equal(await answer("anna@example.org"), "pass");
    assert.equal(await answer("bert@example.org"), "defer");
    assert.match(plugin.failures[0]!.message, /The recipient service answered 500/);
    await plugin.clock.advance(86_400_000);
    assert.equal(await answer("anna@example.org"), "defer");
  });
});

test("a service that does not answer is cut off by the budget", async () => {
  let asked: () => void = () => {};
  const question = new Promise<void>((resolve) => asked = resolve);
  await withService(() => void asked(), async (url) => {
    const plugin = await runPlugin(check, { options: { url }, budget: 3_000 });
    await plugin.mail("a@client.test");
    const answer = plugin.rcpt("anna@example.org");
    await question;
    await plugin.clock.advance(3_000);
    assert.equal((await answer).verdict.verdict, "defer");
    assert.deepEqual(plugin.failures.map(({ kind }) => kind), ["over-budget"]);
  });
});

test("options", async () => {
  await assert.rejects(runPlugin(check, { options: {} }), /options\.url: expected an address/);
  await assert.rejects(
    runPlugin(check, { options: { url: "http://a.test", ttl: "5m", tll: 1 } }),
    /options\.tll: unknown key\n.*options\.ttl: expected a number of seconds/,
  );
});
