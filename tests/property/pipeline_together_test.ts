/**
 * Hooks side by side: whatever settles first, the outcome is that of one after another.
 * @module
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Edge } from "../../src/plugin/edge.ts";
import type { TransactionFacts } from "../../src/plugin/facts.ts";
import type { Answer, Hooks } from "../../src/plugin/module.ts";
import { HeaderBlock } from "../../src/wire/headers.ts";
import { engine, type Given } from "../unit/pipeline_host.ts";

interface Spec {
  /** Waits for its gate before it answers. */
  readonly waits: boolean;
  readonly does:
    | "pass"
    | "score"
    | "many"
    | "defer"
    | "refuse"
    | "quarantine"
    | "throw"
    | "nonsense"
    /** Refuses where enough points are there. */
    | "judge"
    /** Points by a note. */
    | "read";
  readonly note: number;
  readonly declares: boolean;
  readonly shadow: boolean;
  readonly onError: "pass" | "tempfail";
}

const spec: fc.Arbitrary<Spec> = fc.record({
  waits: fc.boolean(),
  does: fc.constantFrom(
    ...["pass", "score", "many", "quarantine", "throw", "nonsense", "judge", "read"] as const,
    ...["pass", "score", "score", "read", "defer", "refuse"] as const,
  ),
  note: fc.nat(2),
  declares: fc.boolean(),
  shadow: fc.boolean(),
  onError: fc.constantFrom("pass", "tempfail"),
});

/** What a hook answers, once it may. */
function answer(spec: Spec, i: number, edge: Edge, tx: TransactionFacts): Answer {
  const note = edge.note<number>(`n${spec.note}`);
  switch (spec.does) {
    case "score":
      note.set(tx, (note.get(tx) ?? 0) + i);
      return edge.score(i + 1, `S${i}`);
    case "many":
      return [edge.score(1, `M${i}`), edge.score(2, `M${i}`)];
    case "quarantine":
      return edge.quarantine("odd");
    case "defer":
      return edge.defer(451, "4.7.1", `Later ${i}`);
    case "refuse":
      return edge.refuse(550, "5.7.1", `No ${i}`);
    case "throw":
      throw new Error(`broken ${i}`);
    case "nonsense":
      return 5 as never;
    case "read":
      return edge.score(note.get(tx) ?? -1, `R${i}`);
    default:
      return undefined;
  }
}

function plugin(spec: Spec, i: number, stage: "header" | "end", gates: Promise<void>[]): Given {
  const reads = [
    ...(spec.does === "judge" && spec.declares ? ["score"] : []),
    ...(spec.does === "read" ? [`n${spec.note}`] : []),
  ];
  const hook = (edge: Edge) => (tx: TransactionFacts): Answer => {
    // Who does not say that he looks at the points looks at once: only that is noticed.
    const points = spec.does === "judge" && !spec.declares ? tx.score : 0;
    const say = (): Answer => {
      if (spec.does !== "judge") return answer(spec, i, edge, tx);
      const sum = spec.declares ? tx.score : points;
      return sum > 4 ? edge.refuse(554, "5.7.1", `Too many: ${sum}`) : edge.score(0.5, `J${i}`);
    };
    return spec.waits ? gates[i]!.then(say) as Answer : say();
  };
  return {
    use: `p${i}`,
    mode: spec.shadow ? "shadow" : "enforce",
    onError: spec.onError,
    manifest: {
      reads,
      gives: spec.does === "score" ? [`n${spec.note}`] : [],
    },
    module: (edge) => {
      const ask = hook(edge);
      const hooks: Hooks = stage === "end" ? { end: (tx) => ask(tx) } : {
        header: (header, { tx }) => {
          header.append(`X-P${i}`, "1");
          return ask(tx);
        },
      };
      return { name: `p${i}`, hooks };
    },
  };
}

/** Runs one stage; `order` opens the gates one by one, `undefined` before anybody is asked. */
async function run(
  specs: readonly Spec[],
  stage: "header" | "end",
  order: readonly number[] | undefined,
) {
  const gates = specs.map(() => Promise.withResolvers<void>());
  const given = specs.map((one, i) => plugin(one, i, stage, gates.map(({ promise }) => promise)));
  // Each behind every one before it: nobody is asked before all of them have been heard.
  const chained = order !== undefined ? given : given.map((one, i) => ({
    ...one,
    after: given.slice(0, i).map(({ use }) => use!),
  }));
  // Givers stand before their readers in the file, so that both ways have one order.
  const { session, tx, outcome, host } = await engine(chained);
  const header = new HeaderBlock(new TextEncoder().encode("A: b\r\n\r\n"));
  if (order === undefined) { for (const gate of gates) gate.resolve(); }
  const answered = outcome(stage === "end" ? session.end(tx) : session.header(tx, header));
  for (const i of order ?? []) {
    gates[i]!.resolve();
    for (let hop = 0; hop < 8; hop++) await Promise.resolve();
  }
  return {
    outcome: await answered,
    score: tx.score,
    symbols: tx.symbols,
    ruling: [tx.ruling, tx.ruledBy],
    trace: tx.trace.entries.map(({ ms: _, ...entry }) => entry),
    passes: tx.trace.passes,
    wouldHave: tx.trace.wouldHave?.plugin,
    failures: host.failures,
    header: new TextDecoder().decode(header.apply()),
  };
}

/** Readers of a note that nobody gives would not start; those whose giver stands behind them would be moved. */
function sorted(specs: readonly Spec[]): readonly Spec[] {
  const given = new Set<number>();
  return specs.map((one) => {
    if (one.does === "score") {
      given.add(one.note);
      return one;
    }
    return one.does === "read" && !given.has(one.note) ? { ...one, does: "pass" as const } : one;
  }).filter((one, i, all) =>
    one.does !== "score" ||
    !all.slice(0, i).some((before) => before.does === "read" && before.note === one.note)
  );
}

for (const stage of ["end", "header"] as const) {
  test(`the outcome of ${stage} is that of one after another, in any interleaving`, async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(spec, { minLength: 1, maxLength: 7 }).map(sorted).chain((specs) =>
          fc.tuple(
            fc.constant(specs),
            fc.shuffledSubarray([...specs.keys()], { minLength: specs.length }),
          )
        ),
        async ([specs, order]) => {
          const one = await run(specs, stage, undefined);
          const many = await run(specs, stage, order);
          assert.deepEqual(many, one);
        },
      ),
      { numRuns: 400 },
    );
  });
}
