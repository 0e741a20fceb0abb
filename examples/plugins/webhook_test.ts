import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import * as http from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { testServer } from "@postern/postern/testing";
import * as webhook from "./webhook.ts";

interface Call {
  readonly body: string;
  readonly signature: string | undefined;
}

/** A service that remembers its calls; `answer` gives the status when it will. */
async function withHook(
  answer: (nth: number) => number | Promise<number>,
  work: (url: string, calls: Call[], called: (count: number) => Promise<void>) => Promise<void>,
): Promise<void> {
  const calls: Call[] = [];
  let tell: () => void = () => {};
  const server = http.createServer(async (request, response) => {
    let body = "";
    for await (const chunk of request) body += String(chunk);
    const signature = request.headers["x-signature"];
    calls.push({ body, signature: typeof signature === "string" ? signature : undefined });
    const nth = calls.length;
    tell();
    response.writeHead(await answer(nth)).end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const called = async (count: number) => {
    while (calls.length < count) await new Promise<void>((resolve) => tell = resolve);
  };
  try {
    await work(`http://127.0.0.1:${port}/`, calls, called);
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
}

async function deliver(server: Awaited<ReturnType<typeof testServer>>, count: number) {
  const client = await server.connect();
  await client.expect("220 *");
  await client.ehlo();
  for (let nth = 1; nth <= count; nth++) {
    assert.equal((await client.sendMessage({ to: `b${nth}@c.test` })).code, 250);
  }
}

test("a summary of each message, signed, and nothing of its content", () =>
  withHook(() => 204, async (url, calls, called) => {
    await using server = await testServer(webhook, {
      options: { url, secret_file: "hook.secret" },
      files: { "hook.secret": "s3cret\n" },
    });
    await deliver(server, 2);
    await called(2);
    const [first] = calls;
    const { id, at, ...summary } = JSON.parse(first!.body);
    assert.equal(at, "2026-01-01T00:00:00.000Z");
    assert.match(id, /\.1$/);
    assert.deepEqual(summary, {
      client: "192.0.2.1",
      user: null,
      from: "sender@client.test",
      to: ["b1@c.test"],
      size: 25,
      score: 0,
      symbols: [],
      upstream: "fake",
      reply: "250 2.0.0",
    });
    const expected = createHmac("sha256", "s3cret").update(first!.body).digest("hex");
    assert.equal(first!.signature, `sha256=${expected}`);
    await server.stop();
    assert.equal(server.counts.get("sent"), 2);
  }));

test("mail goes on while the service hangs; the queue is bounded, and what is over is counted", () => {
  let open: (status: number) => void = () => {};
  const hanging = new Promise<number>((resolve) => open = resolve);
  return withHook(() => hanging, async (url, calls, called) => {
    await using server = await testServer(webhook, { options: { url, queue: 2 } });
    await deliver(server, 1);
    await called(1);
    await deliver(server, 4);
    assert.equal(server.upstream.messages.length, 5);
    assert.equal(server.counts.get("dropped"), 2);
    open(200);
    await server.stop();
    assert.equal(calls.length, 3);
    assert.equal(server.counts.get("sent"), 3);
  });
});

test("a service that is in trouble is asked again, and it is logged without the secret", () =>
  withHook((nth) => nth === 1 ? 503 : 200, async (url, calls, called) => {
    await using server = await testServer(webhook, {
      options: { url, secret_file: "hook.secret" },
      files: { "hook.secret": "s3cret\n" },
    });
    await deliver(server, 1);
    await called(2);
    await server.stop();
    assert.equal(calls[0]!.body, calls[1]!.body);
    assert.deepEqual(server.logs.map(({ fields }) => fields["status"]), [503]);
    assert.doesNotMatch(JSON.stringify(server.logs), /s3cret/);
  }));

test("options", async () => {
  const start = (options: unknown) => testServer(webhook, { options });
  await assert.rejects(start({}), /options\.url: expected an address/);
  await assert.rejects(
    start({ url: "http://a.test", secret_file: "", queue: 0, que: 1 }),
    /options\.que: unknown key\n.*options\.secret_file: expected a path\n.*options\.queue: expected/,
  );
});
