import assert from "node:assert/strict";
import * as http from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import { fromEffect } from "@postern/postern/plugin/effect";
import { runPlugin } from "@postern/postern/testing";
import * as plugin from "./address-reputation.ts";

const { make, Reputation, Unanswered } = plugin;

test("the score of the service, asked once an hour for an address", async () => {
  const asked: string[] = [];
  const layer = Layer.succeed(Reputation, {
    of: (address) => Effect.sync(() => asked.push(address) * 2),
  });
  const running = await runPlugin(fromEffect(make, () => layer));
  await running.connect();
  await running.mail("a@b.test");
  assert.equal(running.tx.score, 2);
  assert.deepEqual(running.tx.symbols, [{ symbol: "REPUTATION", points: 2 }]);
  await running.connect();
  assert.deepEqual(asked, ["192.0.2.1"]);
  await running.clock.advance(3_600_000);
  await running.connect();
  assert.equal(asked.length, 2);
});

test("nobody is turned away because the service is down; it is logged", async () => {
  const layer = Layer.succeed(Reputation, {
    of: () => Effect.fail(new Unanswered({ reason: "away" })),
  });
  const running = await runPlugin(fromEffect(make, () => layer));
  assert.equal((await running.connect()).verdict.verdict, "pass");
  await running.mail("a@b.test");
  assert.equal(running.tx.score, 0);
  assert.deepEqual(running.failures, []);
  assert.deepEqual(running.logs.map(({ level, message }) => [level, message]), [
    ["warn", "no reputation"],
  ]);
});

test("over HTTP, asked again after an error", async () => {
  const paths: string[] = [];
  const server = http.createServer((request, response) => {
    paths.push(request.url ?? "");
    if (paths.length === 1) response.writeHead(500).end();
    else response.end("1.5\n");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  try {
    const running = await runPlugin(plugin, { options: { url: `http://127.0.0.1:${port}/r` } });
    await running.connect();
    await running.mail("a@b.test");
    assert.equal(running.tx.score, 1.5);
    assert.deepEqual(paths, ["/r/192.0.2.1", "/r/192.0.2.1"]);
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
});
