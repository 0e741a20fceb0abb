/** The corpus of nasty command lines: each has exactly one answer. */
import { test } from "node:test";
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { parseCommand } from "../../src/wire/command.ts";

const corpus = readFileSync(new URL("../corpus/commands.txt", import.meta.url), "utf8")
  .split("\n")
  .filter((line) => line !== "" && !line.startsWith("#"))
  .map((line) => {
    const space = line.indexOf(" ");
    return { expected: line.slice(0, space), input: JSON.parse(line.slice(space + 1)) as string };
  });

test("R21, R34: every line of the corpus is answered as it says", () => {
  for (const { expected, input } of corpus) {
    const command = parseCommand(input);
    const answer = command.verb === "BAD"
      ? `${command.reply.code}/${command.reply.enhanced}`
      : command.verb;
    assert.equal(answer, expected, JSON.stringify(input));
  }
});

test("the corpus is there", () => {
  assert.ok(corpus.length > 100);
});
