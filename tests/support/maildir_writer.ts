/**
 * A process that delivers into the embedded mailbox until it is killed. For the kill -9 test.
 *
 * Arguments: the path. Several deliveries run at once, none with a pause. Standard output has a line `begun <n>` when
 * half of message n was written, and `acknowledged <n>` after its 250.
 * @module
 */
import process from "node:process";
import * as Effect from "effect/Effect";
import { maildirUpstream } from "../../src/upstream/maildir.ts";

/** Message `n`: its last line is its first, so that a cut is seen. */
export function numberedMessage(n: number): Uint8Array {
  const mark = `Message: ${n}\r\n`;
  return new TextEncoder().encode(mark + "\r\n" + `${"x".repeat(70)}\r\n`.repeat(4000) + mark);
}

async function writeForever(path: string, first: number, step: number): Promise<never> {
  const upstream = maildirUpstream({ name: "m", path, hostname: "mx.test", now: Date.now });
  for (let n = first;; n += step) {
    const leg = await Effect.runPromise(upstream.open({ from: null, params: {}, id: String(n) }));
    for (const local of ["alice", "bob"]) {
      const address = `${local}@example.org`;
      const to = { address, local, domain: "example.org", utf8: false };
      await Effect.runPromise(leg.rcpt({ to, params: {} }));
    }
    await Effect.runPromise(leg.data());
    const content = numberedMessage(n);
    const half = Math.floor(content.length / 2);
    leg.write(content.subarray(0, half));
    process.stdout.write(`begun ${n}\n`);
    leg.write(content.subarray(half));
    const answer = await Effect.runPromise(leg.finish());
    if (answer.code === 250) process.stdout.write(`acknowledged ${n}\n`);
    leg.release();
  }
}

if (import.meta.main) {
  const path = process.argv[2];
  if (path === undefined) throw new Error("Cannot start: the path of the mailbox is missing");
  await Promise.all([0, 1, 2].map((first) => writeForever(path, first, 3)));
}
