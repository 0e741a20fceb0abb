/** Bun's own sockets, with one that a test plays: what the kernel takes of a write. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import { BunDuplex } from "../../src/runtime/bun_duplex.ts";
import type { BunSocket } from "../../src/runtime/bun_sockets.ts";

test("of a text that is not US-ASCII, octets are counted and not characters", async () => {
  const text = "250 näme ".repeat(10);
  // As many octets as the text has characters: some are missing.
  let room = text.length;
  let taken = "";
  const socket = {
    remoteAddress: "127.0.0.1",
    remotePort: 1,
    localAddress: "127.0.0.1",
    localPort: 2,
    write(chunk: Uint8Array | string): number {
      const octets = Buffer.from(chunk as string).subarray(0, room);
      room -= octets.length;
      taken += octets.toString("latin1");
      return octets.length;
    },
    pause() {},
    resume() {},
  } as unknown as BunSocket;
  const duplex = new BunDuplex(socket);
  duplex.write(text);
  await Promise.resolve();
  assert.equal(duplex.pending, Buffer.byteLength(text) - text.length);
  room = Infinity;
  duplex.writable();
  assert.equal(Buffer.from(taken, "latin1").toString(), text);
});
