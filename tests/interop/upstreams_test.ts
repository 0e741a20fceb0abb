/**
 * A real Postern before real upstreams, by every way it can talk to them. The client is the tests' own; real ones are in
 * `clients_test.ts`. `table.ts` runs all combinations.
 * @module
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { sendPlain } from "./plain_client.ts";
import { KINDS } from "./messages.ts";
import { Stage } from "./stage.ts";
import { IDENTITY_WAYS, UPSTREAMS } from "./upstreams.ts";

const LIMIT = { timeout: 60_000 };

describe("upstreams", () => {
  let stage: Stage;
  before(async () => {
    stage = await Stage.open([...UPSTREAMS.keys()]);
  }, LIMIT);
  after(async () => {
    await stage?.[Symbol.asyncDispose]();
  }, LIMIT);

  for (const [name, upstream] of UPSTREAMS) {
    const skip = upstream.missing() ?? false;
    const ways = upstream.ways.filter((way) => !IDENTITY_WAYS.some((each) => each === way));
    KINDS.forEach((kind, at) => {
      const way = ways[at % ways.length] ?? name;
      test(`${way}, ${kind.name}`, { ...LIMIT, skip }, async () => {
        const message = stage.message(kind, way);
        await sendPlain(message, stage.entrance("plain").port);
        const trace = await stage.arrived(message, way);
        assert.match(trace, /by mx\.example\.org \(Postern\)/);
      });
    });
  }

  for (const way of IDENTITY_WAYS) {
    const skip = UPSTREAMS.get("Postfix")?.missing() ?? false;
    test(`Postfix learns the client's address by ${way}`, { ...LIMIT, skip }, async () => {
      await stage.tellsClient(way);
    });
  }
});
