/** Standard input, colours, tables and the spinner. @module */
import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { describe, test } from "node:test";
import { stripAnsiCode } from "@std/fmt/colors";
import fc from "fast-check";
import { styles, table, wantsColor, withSpinner, wrap } from "../../src/cli/output.ts";
import { createInput } from "../../src/cli/stdin.ts";
import { Spinner } from "../../src/std/spinner.ts";
import { fakeIo } from "../support/cli_io.ts";

function inputOf(...chunks: readonly (string | Uint8Array)[]) {
  const raw: boolean[] = [];
  const stream = Object.assign(new PassThrough(), {
    setRawMode: (on: boolean) => void raw.push(on),
  });
  for (const chunk of chunks) stream.write(chunk);
  stream.end();
  return { ...createInput(() => stream), raw };
}

describe("standard input", () => {
  test("is read by lines, with either line end, and then to its end", async () => {
    const input = inputOf("one\ntw", "o\r\n\nfo", "ur\nrest");
    assert.equal(await input.readLine(), "one");
    assert.equal(await input.readLine(), "two");
    assert.equal(await input.readLine(), "");
    assert.equal(new TextDecoder().decode(await input.readAll()), "four\nrest");
    assert.equal(await input.readLine(), undefined);
  });

  test("gives its last line without a line end", async () => {
    const input = inputOf("last");
    assert.equal(await input.readLine(), "last");
    assert.equal(await input.readLine(), undefined);
  });

  test("gives the same lines however it is cut", async () => {
    await fc.assert(fc.asyncProperty(
      fc.array(fc.string({ unit: "grapheme" }).map((text) => text.replace(/[\r\n]/g, ""))),
      fc.integer({ min: 1, max: 7 }),
      async (lines, size) => {
        const octets = new TextEncoder().encode(lines.map((line) => `${line}\n`).join(""));
        const chunks: Uint8Array[] = [];
        for (let at = 0; at < octets.length; at += size) {
          chunks.push(octets.subarray(at, at + size));
        }
        const input = inputOf(...chunks);
        for (const line of lines) assert.equal(await input.readLine(), line);
        assert.equal(await input.readLine(), undefined);
      },
    ));
  });

  test("R29: has a bound for a line", async () => {
    await assert.rejects(inputOf("x".repeat(70_000)).readLine(), /too long/);
  });

  test("R33: takes a long input in small pieces in time that grows with its length", async () => {
    const chunks = Array.from({ length: 20_000 }, () => "0123456789");
    assert.equal((await inputOf(...chunks).readAll()).length, 200_000);
  });
});

describe("a secret", () => {
  const typed = async (...keys: (string | Uint8Array)[]) => await inputOf(...keys).readSecret();

  test("ends with Enter, in raw mode only while it is typed", async () => {
    const input = inputOf("secret\r");
    assert.equal(await input.readSecret(), "secret");
    assert.deepEqual(input.raw, [true, false]);
  });

  test("can be mended while it is typed", async () => {
    assert.equal(await typed("ab\x7fc\r"), "ac");
    assert.equal(await typed("é\b\b\bü\r"), "ü");
    assert.equal(await typed("wrong\x15right\n"), "right");
    assert.equal(await typed("a\x1b[Db\x1bOPc\r"), "abc");
  });

  test("is given up with Ctrl-C, with Ctrl-D on an empty line, and at the end of input", async () => {
    assert.equal(await typed("abc\x03"), undefined);
    assert.equal(await typed("\x04"), undefined);
    assert.equal(await typed("a\x04b\r"), "ab");
    assert.equal(await typed("abc"), undefined);
    assert.equal(await typed(""), undefined);
  });

  test("may hold characters that come in two pieces", async () => {
    const [first, second] = new TextEncoder().encode("é");
    assert.equal(await typed("a", Uint8Array.of(first!), Uint8Array.of(second!), "b\r"), "aéb");
    assert.equal(await typed(Uint8Array.of(first!)), undefined);
  });

  test("leaves what is behind Enter to the next question", async () => {
    const input = inputOf("one\rtwo\rthree\n");
    assert.equal(await input.readSecret(), "one");
    assert.equal(await input.readSecret(), "two");
    assert.equal(await input.readLine(), "three");
  });
});

test("colours follow NO_COLOR, then FORCE_COLOR, then TERM and the terminal", () => {
  const wants = (env: Record<string, string>, terminal: boolean) =>
    wantsColor(fakeIo({ env, terminals: terminal ? ["stdout"] : [] }), "stdout");
  assert.equal(wants({}, true), true);
  assert.equal(wants({}, false), false);
  assert.equal(wants({ NO_COLOR: "1" }, true), false);
  assert.equal(wants({ NO_COLOR: "" }, true), true);
  assert.equal(wants({ FORCE_COLOR: "1" }, false), true);
  assert.equal(wants({ FORCE_COLOR: "0" }, true), false);
  assert.equal(wants({ NO_COLOR: "1", FORCE_COLOR: "1" }, true), false);
  assert.equal(wants({ TERM: "dumb" }, true), false);
  assert.equal(styles(fakeIo()).red("x"), "x");
});

test("tables are aligned by what is seen of their cells", () => {
  const { red } = styles(fakeIo({ env: { FORCE_COLOR: "1" } }));
  const text = table([["a", "b", "c"], [red("long"), "x", ""], ["é"]], "  ");
  assert.equal(stripAnsiCode(text), "  a     b  c\n  long  x\n  é\n");
});

test("wrapped text keeps every word and its width", () => {
  assert.equal(wrap("one two three four", 9, " "), " one two\n three\n four\n");
  assert.equal(wrap("indivisible", 4), "indivisible\n");
});

describe("the spinner", () => {
  test("draws on a terminal and clears its line", () => {
    const written: string[] = [];
    const spinner = new Spinner({
      message: "Working",
      spinner: ["*"],
      interval: 3_600_000,
      output: { isTTY: true, write: (text) => written.push(text) },
    });
    spinner.start();
    spinner.start();
    spinner.stop();
    spinner.stop();
    assert.deepEqual(written, ["\r\x1b[K* Working", "\r\x1b[K"]);
  });

  test("is silent elsewhere", async () => {
    const written: string[] = [];
    const spinner = new Spinner({ output: { write: (text) => written.push(text) } });
    spinner.start();
    spinner.stop();
    assert.deepEqual(written, []);
    const io = fakeIo();
    assert.equal(await withSpinner(io, "Working", () => Promise.resolve(7)), 7);
    assert.equal(io.err(), "");
  });
});
