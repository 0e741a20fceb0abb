/**
 * `deno run -A tests/bench/plugins.ts [--cell b] [--seconds N] [--rounds N] [--runtime deno,bun]`: what plugins cost, as the
 * ratio of the CPU per message to that of the same Postern without any. See `docs/performance.md`.
 *
 * All are up for the whole time and measured in turn. A ratio is taken within a round; the median of the rounds counts.
 * @module
 */
import { parseArgs } from "node:util";
import { findBun, findDeno } from "../../tools/runtimes.ts";
import type { PosternRuntime } from "../support/postern_process.ts";
import { CELLS } from "./cells.ts";
import { markdownTable, median, number } from "./figures.ts";
import { type Further, type Relay, type Stage, startStage } from "./stage.ts";

const ENDLESS = 1_000_000;

/** A plugin with a synchronous hook in each stage of a message that looks at what it is given and has no opinion. */
const TRIVIAL = `export default () => {
  let seen = 0;
  const look = (value: unknown): undefined => { if (value !== null) seen++; };
  return { name: "trivial", hooks: {
    connect: look, helo: look, mail: look, rcpt: look, data: look,
    header: (header: any) => look(header.get("Subject")), end: look } };
};
`;
/** The same with one hook: one round trip for each message. */
const ONE_HOOK = `export default () => ({ name: "one-hook", hooks: { rcpt: () => undefined } });
`;

const files = { "trivial.ts": TRIVIAL, "one_hook.ts": ONE_HOOK };
const table = (use: string, more = "") => `\n[[plugins]]\nuse = "./${use}.ts"\n${more}\n`;
const worker = 'isolation = "worker"';

/** What is compared with nothing at all. */
const VARIANTS: ReadonlyMap<string, Further> = new Map([
  ["one trivial plugin, inline", { files, tables: table("trivial") }],
  ["ten trivial plugins, inline", { files, tables: table("trivial").repeat(10) }],
  ["one hook, inline", { files, tables: table("one_hook") }],
  ["one hook, in a worker", { files, tables: table("one_hook", worker) }],
  ["one trivial plugin, in a worker", { files, tables: table("trivial", worker) }],
]);

async function measure(stage: Stage, at: PosternRuntime): Promise<string> {
  await using stack = new AsyncDisposableStack();
  const bare = stack.use(await stage.postern(at));
  const relays = new Map<string, Relay>();
  for (const [name, more] of VARIANTS) relays.set(name, stack.use(await stage.postern(at, more)));
  const ratios = new Map<string, number[]>();
  const load = async (relay: Relay): Promise<number> => {
    const { cpu, errors, error, lost } = await stage.load(relay, cell, { seconds, most: ENDLESS });
    if (errors + lost > 0) throw new Error(`${lost} lost, ${errors} errors ${error}`);
    if (cpu === undefined) throw new Error("The CPU time of a process is known on Linux only");
    return cpu;
  };
  // The first round is for the compilers of the runtime and counts for nothing.
  for (let round = -1; round < rounds; round++) {
    const reference = await load(bare);
    for (const [name, relay] of relays) {
      const ratio = await load(relay) / reference;
      if (round >= 0) ratios.set(name, [...ratios.get(name) ?? [], ratio]);
    }
  }
  return markdownTable(
    [at.name, "CPU ratio", "(min-max)"],
    [...ratios].map(([name, found]) => [
      name,
      number(median(found), 2),
      `${number(Math.min(...found), 2)}-${number(Math.max(...found), 2)}`,
    ]),
  );
}

const { values } = parseArgs({
  options: {
    cell: { type: "string", default: "b" },
    seconds: { type: "string", default: "4" },
    rounds: { type: "string", default: "5" },
    runtime: { type: "string", default: "deno,bun" },
  },
});
const cell = CELLS.get(values.cell)!;
const seconds = Number(values.seconds);
const rounds = Number(values.rounds);

await using stage = await startStage();
for (const name of values.runtime.split(",")) {
  const at = await (name === "deno" ? findDeno() : findBun());
  console.log(`\n${await measure(stage, at)}`);
}
