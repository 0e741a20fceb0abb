/**
 * The bench in small, as part of `deno task ok`: every cell runs and loses nothing, upstream connections are reused, and a
 * message costs no more system calls than it may. No time is judged.
 * @module
 */
import assert from "node:assert/strict";
import process from "node:process";
import { ownRuntime } from "../support/postern_process.ts";
import { CELLS } from "./cells.ts";
import { type Measured, type Relay, type Stage, startStage } from "./stage.ts";
import { countSystemCalls } from "./system_calls.ts";

/** A load must be over by its count, not by its time. */
const SECONDS = 10;
/** Messages, and connections at once. Fewer where each message costs a handshake, or is large. */
const SIZES = new Map([
  ["a", { most: 200, atOnce: 10 }],
  ["as", { most: 100, atOnce: 10 }],
  ["b", { most: 400, atOnce: 4 }],
  ["bs", { most: 400, atOnce: 4 }],
  ["c", { most: 16, atOnce: 4 }],
  ["cs", { most: 16, atOnce: 4 }],
]);
/** What the reuse of upstream connections must come to in the cells with many messages per connection. */
const CONNECTIONS_PER_MESSAGE = 0.05;
/**
 * Calls that send or receive something, for a message of 10 KiB whose client waits for every reply: 7 and 7, where the
 * upstream takes MAIL and RCPT in one write. Deno also looks once for more behind everything it receives, whoever uses its
 * sockets, and these are bounded apart.
 */
const CALLS_PER_MESSAGE = 20;
/** Replies and commands of such a message. With less the count itself is wrong. */
const LEAST_CALLS = 4;

async function runCell(stage: Stage, relay: Relay, name: string): Promise<Measured> {
  const cell = CELLS.get(name)!;
  const { most, atOnce } = SIZES.get(name)!;
  const measured = await stage.load(relay, { ...cell, atOnce }, { most, seconds: SECONDS });
  const { done, errors, error, lost } = measured;
  assert.deepEqual(
    { done, errors, error, lost },
    { done: most, errors: 0, error: "", lost: 0 },
    `cell ${name}`,
  );
  return measured;
}

async function smoke(stage: Stage): Promise<void> {
  await using postern = await stage.postern(ownRuntime);
  for (const name of CELLS.keys()) {
    const { done, upstreamConnections } = await runCell(stage, postern, name);
    console.log(`${name}: ${done} messages, ${upstreamConnections} upstream connections`);
    if (name.startsWith("b")) {
      assert.ok(
        upstreamConnections / done <= CONNECTIONS_PER_MESSAGE,
        `cell ${name}: ${upstreamConnections} upstream connections for ${done} messages`,
      );
    }
  }
  let messages = 0;
  const calls = await countSystemCalls(postern.pids, async () => {
    messages = (await runCell(stage, postern, "b")).done;
  });
  if (typeof calls === "string") {
    console.log(`System calls: skipped, ${calls}`);
    return;
  }
  const send = calls.send / messages;
  const receive = calls.receive / messages;
  const empty = calls.empty / messages;
  const said = `${send.toFixed(1)} sends, ${receive.toFixed(1)} receives, ` +
    `${empty.toFixed(1)} that found nothing`;
  console.log(`System calls for a message of 10 KiB: ${said}`);
  assert.ok(Math.min(send, receive) >= LEAST_CALLS, `not counted: ${said}`);
  assert.ok(send + receive <= CALLS_PER_MESSAGE, `too many system calls for a message: ${said}`);
  assert.ok(empty <= receive + 1, `looks for more than once: ${said}`);
}

{
  await using stage = await startStage();
  await smoke(stage);
}
process.exit(0);
