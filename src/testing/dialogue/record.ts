/**
 * Records a dialogue: its client and its upstream speak as the file says, and what the server and the proxy answer is
 * written in the place of the `S:` and `U>` lines that are not met. Lines that are met stay as they are, with their stars.
 * In a file without any `S:` line the answers are put behind each line that has one.
 * @module
 */
import { type Dialogue, type DialogueStep, isGap, matches } from "./parse.ts";
import { type Actors, type Stage, withActors } from "./play.ts";

type Side = "S:" | "U>";
const SIDES: readonly Side[] = ["U>", "S:"];

/** Milliseconds of real time in which nothing may happen: as long as lines are missing, and when none are. */
const MISSING = 250;
const MORE = 25;

/** Gives the text of the dialogue as it should be. */
export async function recordDialogue(
  dialogue: Dialogue,
  source: string,
  stage: Stage,
): Promise<string> {
  const sheet = new Sheet(source);
  const gaps: Record<Side, boolean> = { "S:": false, "U>": false };
  await withActors(dialogue, stage, async (actors, at) => {
    for (const { input, answers } of blocksOf(dialogue.steps)) {
      if (input !== undefined) {
        at(input);
        await actors.step(input, false);
      }
      if (answers === undefined) continue;
      const expected = {
        "S:": answers.filter(({ kind }) => kind === "S:"),
        "U>": answers.filter(({ kind }) => kind === "U>"),
      };
      const met = (got: Record<Side, string[]>, side: Side) =>
        meets(expected[side], got[side], gaps[side]);
      const got = await listen(
        actors,
        stage,
        (got) => SIDES.every((side) => met(got, side) !== undefined),
      );
      for (const side of SIDES) {
        const open = met(got, side);
        gaps[side] = open ?? false;
        if (open !== undefined) continue;
        const written = got[side].map((text) => `${side} ${escaped(text)}`.trimEnd());
        const place = answers.at(-1)?.line ?? input?.line;
        if (expected[side].length > 0) sheet.replace(expected[side], written);
        else if (place !== undefined) sheet.behind(place, written);
        else sheet.before(dialogue.steps[0]?.line ?? 1, written);
      }
    }
  });
  return sheet.text();
}

interface Block {
  readonly input?: DialogueStep;
  /** The answers that follow it; undefined: nothing is looked for yet. */
  readonly answers?: readonly DialogueStep[];
}

/** Each input with the answers behind it. Without any answer in the file, every input is listened behind. */
function blocksOf(steps: readonly DialogueStep[]): readonly Block[] {
  const fresh = !steps.some(({ kind }) => kind === "S:");
  const blocks: { input?: DialogueStep; answers?: DialogueStep[] }[] = [
    fresh ? { answers: [] } : {},
  ];
  for (const step of steps) {
    if (step.kind === "S:" || step.kind === "U>") (blocks.at(-1)!.answers ??= []).push(step);
    else if (step.kind === "S!") blocks.push({ input: step });
    else blocks.push(fresh ? { input: step, answers: [] } : { input: step });
  }
  return blocks;
}

/** What comes until nothing comes any more. */
async function listen(
  actors: Actors,
  stage: Stage,
  enough: (got: Record<Side, string[]>) => boolean,
): Promise<Record<Side, string[]>> {
  const got: Record<Side, string[]> = { "S:": [], "U>": [] };
  const client = await actors.client();
  for (let quiet = 0; quiet < (enough(got) ? MORE : MISSING); quiet++) {
    while (client.peek().includes("\r\n")) {
      got["S:"].push(await client.line() ?? "");
      quiet = 0;
    }
    for (let line = stage.upstream.arrived(); line !== undefined; line = stage.upstream.arrived()) {
      got["U>"].push(line);
      quiet = 0;
    }
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  return got;
}

/** Whether lines are what patterns say; a boolean tells that they are, and whether a gap is still open behind them. */
function meets(
  expected: readonly DialogueStep[],
  got: readonly string[],
  open: boolean,
): boolean | undefined {
  let at = 0;
  let gap = open;
  for (const step of expected) {
    if (isGap(step)) {
      gap = true;
      continue;
    }
    while (gap && at < got.length && !matches(step.text, got[at]!)) at++;
    if (at === got.length || !matches(step.text, got[at]!)) return undefined;
    at++;
    gap = false;
  }
  return gap || at === got.length ? gap : undefined;
}

/** The lines of the file, and what is to become of them. */
class Sheet {
  readonly #lines: readonly string[];
  readonly #before = new Map<number, readonly string[]>();
  readonly #instead = new Map<number, readonly string[]>();
  readonly #behind = new Map<number, readonly string[]>();

  constructor(source: string) {
    this.#lines = source.split("\n");
  }

  before(line: number, written: readonly string[]): void {
    this.#before.set(line, [...this.#before.get(line) ?? [], ...written]);
  }

  behind(line: number, written: readonly string[]): void {
    this.#behind.set(line, [...this.#behind.get(line) ?? [], ...written]);
  }

  replace(steps: readonly DialogueStep[], written: readonly string[]): void {
    for (const [index, { line }] of steps.entries()) {
      this.#instead.set(line, index === 0 ? written : []);
    }
  }

  text(): string {
    return this.#lines.flatMap((text, index) => [
      ...this.#before.get(index + 1) ?? [],
      ...this.#instead.get(index + 1) ?? [text],
      ...this.#behind.get(index + 1) ?? [],
    ]).join("\n");
  }
}

function escaped(text: string): string {
  return text.replaceAll("*", "\\*");
}
