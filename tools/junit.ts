/**
 * Reads the JUnit reports of `deno test` and `bun test`.
 * @module
 */

/** What a report says. */
export interface Tally {
  readonly passed: number;
  readonly skipped: number;
  /** Names of the tests that failed, with their groups. */
  readonly failed: readonly string[];
}

interface Case {
  readonly name: string;
  readonly outcome: "passed" | "skipped" | "failed";
  readonly failure: string;
}

/**
 * Counts the tests of a report. Deno lists a group beside its tests, as `group` and `group > test`: it is no test, and
 * counts only when it failed by itself.
 */
export function tally(xml: string): Tally {
  const cases = casesOf(xml);
  const groups = new Set<string>();
  for (const { name } of cases) {
    const parts = name.split(" > ");
    for (let end = 1; end < parts.length; end++) groups.add(parts.slice(0, end).join(" > "));
  }
  let passed = 0;
  let skipped = 0;
  const failed: string[] = [];
  for (const { name, outcome, failure } of cases) {
    if (groups.has(name) && (outcome !== "failed" || /^\d+ test steps? failed/.test(failure))) {
      continue;
    }
    if (outcome === "passed") passed++;
    else if (outcome === "skipped") skipped++;
    else failed.push(name);
  }
  return { passed, skipped, failed };
}

const CASE = /<testcase ([^>]*?)(?:\/>|>([\s\S]*?)<\/testcase>)/g;

function casesOf(xml: string): Case[] {
  const cases: Case[] = [];
  for (const [, attributes = "", body = ""] of xml.matchAll(CASE)) {
    const failure = /<(?:failure|error)\b([^>]*)>/.exec(body)?.[1];
    // Bun puts the groups of a test into the class name, the innermost first.
    const groups = bunGroups(attribute(attributes, "classname"));
    cases.push({
      name: [...groups, attribute(attributes, "name")].join(" > "),
      outcome: failure !== undefined ? "failed" : /<skipped\b/.test(body) ? "skipped" : "passed",
      failure: failure === undefined ? "" : attribute(failure, "message"),
    });
  }
  return cases;
}

/** Deno's class name is a file. */
function bunGroups(classname: string): readonly string[] {
  if (classname === "" || /^(?:\.{0,2}\/|ext:|file:)/.test(classname)) return [];
  return classname.split(" > ").reverse();
}

function attribute(attributes: string, name: string): string {
  const found = new RegExp(`(?:^|\\s)${name}="([^"]*)"`).exec(attributes)?.[1] ?? "";
  return found.replace(/&(?:lt|gt|amp|quot|apos|#(\d+)|#x([\da-f]+));/gi, (entity, ten, hex) => {
    if (ten !== undefined) return String.fromCodePoint(Number(ten));
    if (hex !== undefined) return String.fromCodePoint(Number.parseInt(hex, 16));
    return ENTITIES.get(entity.toLowerCase()) ?? entity;
  });
}

const ENTITIES: ReadonlyMap<string, string> = new Map([
  ["&lt;", "<"],
  ["&gt;", ">"],
  ["&amp;", "&"],
  ["&quot;", '"'],
  ["&apos;", "'"],
]);
