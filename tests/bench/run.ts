/**
 * `deno run -A tests/bench/run.ts [--cells a,b,c,...] [--seconds N] [--rounds N] [--runtime deno,bun]`: what Postern costs
 * on a runtime, beside the smallest relay that this runtime can be. See `docs/performance.md` for what may be concluded.
 *
 * Both relays are up for the whole of a cell and measured in turn, in the other order every second round. A ratio is taken
 * within a round, and the median of the rounds is the result.
 * @module
 */
import process from "node:process";
import { parseArgs } from "node:util";
import { findBun, findDeno } from "../../tools/runtimes.ts";
import { ownRuntime, type PosternRuntime } from "../support/postern_process.ts";
import { type Cell, CELLS, OTHER_CELLS } from "./cells.ts";
import { markdownTable, median, number } from "./figures.ts";
import { type Bounds, type Measured, type Relay, type Stage, startStage } from "./stage.ts";
import { residentKib } from "./usage.ts";

const IDLE_STEPS = [500, 1000] as const;
const SETTLE_MS = 1500;
const ENDLESS = 1_000_000;

interface Both<T> {
  readonly postern: T;
  readonly reference: T;
}

/** In turn, and the other way round in every second round. */
async function inTurn<T>(round: number, measure: (name: keyof Both<T>) => Promise<T>) {
  const found: Partial<Record<keyof Both<T>, T>> = {};
  const names = ["postern", "reference"] as const;
  for (const name of round % 2 === 0 ? names : names.toReversed()) {
    found[name] = await measure(name);
  }
  return found as Both<T>;
}

async function measureLoads(stage: Stage, at: PosternRuntime, cells: readonly Cell[]) {
  await using postern = await stage.postern(at);
  await using reference = await stage.reference(at);
  const relays: Both<Relay> = { postern, reference };
  const rows: string[][] = [];
  for (const cell of cells) {
    const bounds: Bounds = { seconds, most: ENDLESS };
    const measured: Both<Measured>[] = [];
    // The first round is for the compilers of the runtime and counts for nothing.
    for (let round = -1; round < rounds; round++) {
      const both = await inTurn(round, (name) => stage.load(relays[name], cell, bounds));
      if (round >= 0) measured.push(both);
    }
    rows.push(loadRow(cell, measured));
  }
  return markdownTable(
    [
      "cell",
      "CPU ratio",
      "(min-max)",
      "rate ratio",
      "CPU s/1000",
      "reference",
      "msgs/s",
      "reference",
      "upstream connections/message",
      "lost",
      "errors",
    ],
    rows,
  );
}

function loadRow(cell: Cell, rounds: readonly Both<Measured>[]): string[] {
  const rate = ({ done, seconds }: Measured) => done / seconds;
  const cpuRatios = rounds.map(({ postern, reference }) => ratio(postern.cpu, reference.cpu));
  const all = rounds.flatMap(({ postern, reference }) => [postern, reference]);
  for (const { error, errors, lost } of all) {
    if (errors + lost === 0) continue;
    console.error(`${cell.name}: ${lost} lost, ${errors} errors ${error}`);
    process.exitCode = 1;
  }
  const known = cpuRatios.filter((value) => value !== undefined);
  const total = (of: (each: Measured) => number) => all.reduce((sum, each) => sum + of(each), 0);
  return [
    `${cell.name}: ${cell.about}`,
    number(median(cpuRatios), 2),
    known.length === 0 ? "-" : `${number(Math.min(...known), 2)}-${number(Math.max(...known), 2)}`,
    number(median(rounds.map((each) => ratio(rate(each.postern), rate(each.reference)))), 2),
    number(median(rounds.map(({ postern }) => postern.cpu)), 3),
    number(median(rounds.map(({ reference }) => reference.cpu)), 3),
    number(median(rounds.map(({ postern }) => rate(postern))), 0),
    number(median(rounds.map(({ reference }) => rate(reference))), 0),
    number(
      median(rounds.map(({ postern }) => ratio(postern.upstreamConnections, postern.done))),
      3,
    ),
    `${total(({ lost }) => lost)}`,
    `${total(({ errors }) => errors)}`,
  ];
}

function ratio(of: number | undefined, to: number | undefined): number | undefined {
  return of === undefined || to === undefined || to === 0 ? undefined : of / to;
}

/** KiB for each connection between the two steps, by a process that has done nothing else. */
async function measureIdle(stage: Stage, at: PosternRuntime, secure: boolean) {
  const both = await inTurn(0, async (name) => {
    await using relay = await stage[name](at);
    const resident: (number | undefined)[] = [];
    for (const step of IDLE_STEPS) {
      const { done, error } = await stage.idle(relay, secure, step);
      if (done !== step) throw new Error(`${done} of ${step} connections: ${error}`);
      await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
      resident.push(residentKib(relay.pids));
    }
    await stage.idle(relay, secure, 0);
    const [few, many] = resident;
    return few === undefined || many === undefined
      ? undefined
      : (many - few) / (IDLE_STEPS[1] - IDLE_STEPS[0]);
  });
  return [
    `KiB for an idle connection, ${secure ? "STARTTLS" : "plain"}`,
    number(both.postern, 1),
    number(both.reference, 1),
  ];
}

async function measureStart(stage: Stage, at: PosternRuntime) {
  const found: Both<number>[] = [];
  for (let round = 0; round < rounds; round++) {
    found.push(
      await inTurn(round, async (name) => {
        await using relay = await stage[name](at);
        return relay.startMs;
      }),
    );
  }
  return [
    "ms from start to ready",
    number(median(found.map(({ postern }) => postern)), 0),
    number(median(found.map(({ reference }) => reference)), 0),
  ];
}

function list(option: string, known: readonly string[]): readonly string[] {
  const names = option.split(",").filter((name) => name !== "");
  const strange = names.find((name) => !known.includes(name));
  if (strange === undefined) return names;
  console.error(`There is no "${strange}"; there are ${known.join(", ")}`);
  process.exit(2);
}

function positive(option: string): number {
  const value = Number(option);
  if (value > 0 && value <= 60) return value;
  console.error(`Expected a number up to 60, got "${option}"`);
  process.exit(2);
}

const known = [...CELLS.keys(), ...OTHER_CELLS.keys()];
const { values } = parseArgs({
  options: {
    cells: { type: "string", default: known.join(",") },
    seconds: { type: "string", default: "2" },
    rounds: { type: "string", default: "3" },
    runtime: { type: "string", default: "deno,bun" },
  },
});
const cells = list(values.cells, known);
const runtimes = list(values.runtime, ["deno", "bun"]);
const seconds = positive(values.seconds);
const rounds = positive(values.rounds);
const loads = [...CELLS.values()].filter(({ name }) => cells.includes(name));

await using stage = await startStage();
for (const name of runtimes) {
  const at = await (name === "deno" ? findDeno() : findBun());
  console.log(`\n### ${at.name} ${at.version}\n`);
  if (loads.length > 0) console.log(await measureLoads(stage, at, loads));
  const rows: string[][] = [];
  if (cells.includes("f")) rows.push(await measureIdle(stage, at, false));
  if (cells.includes("fs")) rows.push(await measureIdle(stage, at, true));
  if (cells.includes("g")) rows.push(await measureStart(stage, at));
  if (rows.length > 0) {
    console.log(`\n${markdownTable(["", "Postern", "reference"], rows)}`);
  }
}
console.log(
  `\nMedians of ${rounds} rounds; both ends on ${ownRuntime.name}. The ratios (Postern over the reference) are the ` +
    `result;\nthe absolute figures depend on the machine and the minute and must not be compared across runs.`,
);
