/**
 * Real clients through a real Postern to real upstreams. Each client comes in by every entrance and sends every kind of
 * message; which goes with which, and to whom, is a choice of pairs. `table.ts` runs all combinations.
 * @module
 */
import { after, before, describe, test } from "node:test";
import { ownRuntime } from "../support/postern_process.ts";
import { CLIENTS, type Sender } from "./clients.ts";
import { kindOf, KINDS } from "./messages.ts";
import { ENTRANCES, Stage } from "./stage.ts";
import { UPSTREAMS } from "./upstreams.ts";

const LIMIT = { timeout: 60_000 };
const WAYS = [...UPSTREAMS].flatMap(([, upstream]) =>
  upstream.missing() === undefined ? upstream.ways.slice(0, 1) : []
);

describe("clients", () => {
  let stage: Stage;
  const senders = new Map<string, Sender>();

  before(async () => {
    stage = await Stage.open([...UPSTREAMS.keys()]);
    const { dir, entrances } = stage;
    for (const [name, client] of CLIENTS) {
      if (client.missing() !== undefined) continue;
      senders.set(name, await client.start({ dir, entrances, runtime: ownRuntime }));
    }
  }, LIMIT);

  after(async () => {
    for (const sender of senders.values()) await sender.close?.();
    await stage?.[Symbol.asyncDispose]();
  }, LIMIT);

  [...CLIENTS].forEach(([name, client], row) => {
    const skip = client.missing() ?? false;
    ENTRANCES.forEach((entrance, column) => {
      const chosen = KINDS[(row + column) % KINDS.length] ?? kindOf("1 KiB");
      const kind = chosen.utf8 && client.noUtf8 ? kindOf("1 KiB") : chosen;
      const way = WAYS[(row + column) % WAYS.length] ?? "maildir";
      test(`${name}, ${entrance}, ${kind.name}, to ${way}`, { ...LIMIT, skip }, async () => {
        const message = stage.message(kind, way);
        await senders.get(name)?.send(message, stage.entrance(entrance));
        await stage.arrived(message, way);
      });
    });
  });
});
