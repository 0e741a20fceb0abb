/**
 * The table of `docs/performance.md` says what was measured, and nothing about who lost messages.
 * @module
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { textOf } from "../../tools/files.ts";
import { markdownTable, median } from "./figures.ts";
import { type Measurement, measurementsOf, PAGE, ratioTable, withTable } from "./report.ts";

function measured(peer: string, round: number, cpu: number, lost = 0): Measurement {
  return { peer, cell: "a", round, cpu, lost, errors: 0, other: 0.1 };
}

/** The cells of the first row, by the heads of their columns. */
function firstRow(table: string): Readonly<Record<string, string>> {
  const [head = [], , row = []] = table.split("\n").map((line) =>
    line.split("|").slice(1, -1).map((cell) => cell.trim())
  );
  return Object.fromEntries(head.map((name, at) => [name, row[at] ?? ""]));
}

describe("the ratio table", () => {
  test("divides within a round, and shows the median and the range of the rounds", () => {
    // The medians of the two peers would give 2, and their means 1.86.
    const table = ratioTable([
      measured("nginx", 0, 1),
      measured("nginx", 1, 2),
      measured("nginx", 2, 4),
      measured("postern-bun", 0, 5),
      measured("postern-bun", 1, 4),
      measured("postern-bun", 2, 4),
    ]);
    assert.equal(firstRow(table)["postern-bun / nginx"], "2.00 (1.00-5.00)");
    assert.match(table, /Medians of 3 rounds/);
  });

  test("leaves out a round that only one of the two has", () => {
    const table = ratioTable([
      measured("nginx", 0, 1),
      measured("postern-deno", 0, 3),
      measured("postern-deno", 1, 50),
    ]);
    assert.equal(firstRow(table)["postern-deno / nginx"], "3.00 (3.00-3.00)");
  });

  test("has no figure for who lost messages", () => {
    const table = ratioTable([
      measured("nginx", 0, 1),
      measured("nodemailer", 0, 1, 2),
      measured("postern-bun", 0, 2),
    ]);
    assert.equal(firstRow(table)["postern-bun / nginx"], "2.00 (2.00-2.00)");
    assert.equal(firstRow(table)["postern-bun / nodemailer"], "lost messages");
  });

  test("takes loads only from a result, and refuses what is none", () => {
    const results = [measured("nginx", 0, 1), { peer: "nginx", cell: "f", idle: {} }];
    assert.deepEqual(measurementsOf(JSON.stringify({ results })), results.slice(0, 1));
    assert.throws(() => measurementsOf("{}"), /Cannot read result/);
  });
});

test("the page has the generated part, and writing it twice changes nothing", () => {
  const once = withTable(textOf(PAGE), "| new |");
  assert.ok(once.includes("\n| new |\n"));
  assert.equal(withTable(once, "| new |"), once);
  assert.throws(() => withTable("# A page\n", "| new |"), /no generated part/);
});

test("the median of an even number lies between the two in the middle", () => {
  assert.equal(median([4, 1, undefined, 3, 2]), 2.5);
  assert.equal(median([3, 1, 2]), 2);
  assert.equal(median([undefined]), undefined);
});

test("a table is aligned", () => {
  assert.equal(
    markdownTable(["a", "value"], [["first", "1"], ["b", "22"]]),
    "| a     | value |\n| ----- | ----: |\n| first |     1 |\n| b     |    22 |",
  );
});
