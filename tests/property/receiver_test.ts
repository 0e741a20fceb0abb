/**
 * The receiver against a model that reads the whole input at once, written from RFC 5321 and RFC 3030 without any idea of
 * chunks: for every input, every cut and every setting the same events.
 * @module
 */

import { describe, test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import { unstuff } from "../../src/wire/dot.ts";
import { Receiver, type ReceiverOptions } from "../../src/wire/receiver.ts";

const octets = (text: string): Uint8Array => Uint8Array.from(text, (c) => c.charCodeAt(0));
const text = (bytes: Uint8Array): string =>
  Array.from(bytes, (b) => String.fromCharCode(b)).join("");

/** What a message and the lines behind it come to. Content is joined, whatever events it came in. */
interface Outcome {
  readonly content: string;
  readonly ended: boolean;
  readonly fault: string | undefined;
  readonly size: number;
  readonly lines: readonly string[];
}

/** DATA, or the sizes of the BDAT chunks of one message; no content at all. */
type Mode = "data" | readonly number[] | "lines";

function run(options: ReceiverOptions, mode: Mode, chunks: readonly Uint8Array[]): Outcome {
  const receiver = new Receiver(options);
  const sizes = typeof mode === "string" ? [] : [...mode];
  const lines: string[] = [];
  let content = "";
  let ended = false;
  const enter = () => {
    const size = sizes.shift();
    if (size !== undefined) return receiver.bdat(size);
    content += text(receiver.finishMessage());
    ended = true;
  };
  receiver.beginMessage();
  if (mode === "data") receiver.data();
  else enter();
  for (const chunk of [new Uint8Array(0), ...chunks]) {
    receiver.feed(chunk);
    for (let event = receiver.next(); event !== undefined; event = receiver.next()) {
      if (event.event === "content") {
        assert.ok(event.chunk.length > 0, "content is never empty");
        content += text(event.chunk);
      } else if (event.event === "end") enter();
      else if (event.event === "line") lines.push(`line ${event.text}`);
      else lines.push(`${event.fault} ${event.start}`);
    }
    assert.ok(receiver.buffered <= options.commandLine, "R29: no more held than the limit");
  }
  return { content, ended, fault: receiver.contentFault, size: receiver.plainSize, lines };
}

function model(options: ReceiverOptions, mode: Mode, input: string): Outcome {
  if (mode === "lines") {
    const lines = modelLines(options.commandLine, input);
    return { content: "", ended: true, fault: undefined, size: 0, lines };
  }
  const dots = mode === "data";
  const whole = dots
    ? ("\r\n" + input).indexOf("\r\n.\r\n")
    : mode.reduce((sum, size) => sum + size, 0);
  const rest = input.slice(dots ? whole + 3 : whole);
  const body = modelContent(options, dots, input.slice(0, whole));
  return { ...body, ended: true, lines: modelLines(options.commandLine, rest) };
}

/** The content of a complete message in canonical form, token by token. */
function modelContent(options: ReceiverOptions, dots: boolean, body: string) {
  const longest = options.longLines === "reject" ? options.textLine - 2 : Infinity;
  const tokens = body.match(/\r\n|[^]/g) ?? [];
  let content = "";
  let column = 0;
  let lineStart = true;
  let fault: string | undefined;
  for (const [k, token] of tokens.entries()) {
    const bare = token === "\r" || token === "\n" || token === "\0";
    if (bare && options.bareNewline === "reject") {
      fault = "bare-newline";
      break;
    }
    if (token === "\r\n" || token === "\n") {
      content += "\r\n";
      column = 0;
      lineStart = true;
      continue;
    }
    if (dots && lineStart && token === ".") {
      const ends = tokens[k + 1] === "\r\n" || tokens[k + 1] === "\n";
      const alone = ends && options.bareNewline === "normalize";
      content += alone ? ".." : ".";
      column = alone ? 1 : 0;
      lineStart = false;
      continue;
    }
    if (column === longest) {
      fault = "long-line";
      break;
    }
    content += bare ? " " : token;
    column++;
    lineStart = false;
  }
  const size = (dots ? content.replace(/(^|\r\n)\./g, "$1") : content).length;
  return { content, fault, size };
}

/** Lines by splitting: first at CRLF, then at what bare LF is left. */
function modelLines(limit: number, input: string): string[] {
  const told: string[] = [];
  const pieces = input.split("\r\n");
  for (const [k, piece] of pieces.entries()) {
    const segments = piece.split("\n");
    const last = segments.pop()!;
    for (const segment of segments) told.push(modelFault(limit, segment) ?? bareLf(segment));
    if (segments.length > 0 || k === pieces.length - 1) continue;
    told.push(modelFault(limit, last) ?? modelText(last));
  }
  return told;
}

const shown = (line: string): string => line.slice(0, 64).replace(/[^ -~]/g, "?");
const bareLf = (line: string): string => `bare-lf ${shown(line)}`;

function modelFault(limit: number, line: string): string | undefined {
  const found = [
    { at: line.indexOf("\0"), name: "nul" },
    { at: line.indexOf("\r"), name: "bare-cr" },
    { at: line.length > limit - 2 ? limit - 2 : -1, name: "too-long" },
  ].filter(({ at }) => at >= 0).sort((a, b) => a.at - b.at)[0];
  return found && `${found.name} ${shown(line.slice(0, found.at))}`;
}

function modelText(line: string): string {
  try {
    const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
    return `line ${decoder.decode(octets(line))}`;
  } catch {
    return `not-utf8 ${shown(line)}`;
  }
}

/** The input whole, octet by octet, and in two at every place. */
function* everyCut(input: string): Generator<readonly Uint8Array[]> {
  const bytes = octets(input);
  yield [bytes];
  yield Array.from(bytes, (b) => Uint8Array.of(b));
  for (let cut = 1; cut < bytes.length; cut++) {
    yield [bytes.subarray(0, cut), bytes.subarray(cut)];
  }
}

const octet = fc.constantFrom("\r", "\n", ".", "\0", "a", " ", "\x80");
const piece = fc.oneof(
  { weight: 3, arbitrary: octet },
  {
    weight: 2,
    arbitrary: fc.constantFrom(
      "\r\n",
      "\r\n.",
      ".\r\n",
      "\n.\r\n",
      "\r\n.\n",
      "\r\n..",
      "abc",
      "\xc3\xa9",
    ),
  },
);
const input = fc.array(piece, { maxLength: 24 }).map((parts) => parts.join(""));
const settings: fc.Arbitrary<ReceiverOptions> = fc.record({
  commandLine: fc.integer({ min: 3, max: 12 }),
  textLine: fc.integer({ min: 3, max: 9 }),
  longLines: fc.constantFrom("pass", "reject"),
  bareNewline: fc.constantFrom("normalize", "reject"),
});
const anyMode: fc.Arbitrary<Mode> = fc.oneof(
  fc.constant<Mode>("data"),
  fc.constant<Mode>("lines"),
  fc.array(fc.integer({ min: 0, max: 6 }), { maxLength: 6 }),
);
/** Random cuts, the pieces in any number. */
const cuts = fc.array(fc.integer({ min: 1, max: 5 }), { maxLength: 40 });

const relaxed: ReceiverOptions = {
  commandLine: 512,
  textLine: 1000,
  longLines: "pass",
  bareNewline: "normalize",
};

describe("receiver, for every input", () => {
  test("R7, R8, R9, R10, R21: DATA and what follows are what the model says, at every cut", () => {
    fc.assert(
      fc.property(settings, input, input, (options, body, after) => {
        const whole = `${body}\r\n.\r\n${after}\r\n`;
        const expected = model(options, "data", whole);
        for (const chunks of everyCut(whole)) {
          assert.deepEqual(run(options, "data", chunks), expected);
        }
      }),
      { numRuns: 400 },
    );
  });

  test("R7, R8, R10, R11: BDAT chunks and what follows are what the model says, at every cut", () => {
    fc.assert(
      fc.property(settings, fc.array(input, { maxLength: 4 }), input, (options, parts, after) => {
        const sizes = parts.map((part) => part.length);
        const whole = `${parts.join("")}${after}\r\n`;
        const expected = model(options, sizes, whole);
        for (const chunks of everyCut(whole)) {
          assert.deepEqual(run(options, sizes, chunks), expected);
        }
      }),
      { numRuns: 400 },
    );
  });

  test("R21: lines are what the model says, at every cut", () => {
    fc.assert(
      fc.property(settings, input, (options, whole) => {
        const expected = model(options, "lines", whole);
        for (const chunks of everyCut(whole)) {
          assert.deepEqual(run(options, "lines", chunks), expected);
        }
      }),
      { numRuns: 400 },
    );
  });

  test("incomplete input too gives the same events however it is cut", () => {
    fc.assert(
      fc.property(settings, anyMode, input, cuts, (options, mode, whole, sizes) => {
        const bytes = octets(whole);
        const chunks: Uint8Array[] = [];
        let at = 0;
        for (const size of sizes) chunks.push(bytes.subarray(at, at += size));
        chunks.push(bytes.subarray(at));
        assert.deepEqual(run(options, mode, chunks), run(options, mode, [bytes]));
      }),
      { numRuns: 2000 },
    );
  });

  test("R3: DATA ends if CRLF.CRLF was sent, and only then", () => {
    fc.assert(
      fc.property(settings, input, (options, whole) => {
        const ended = ("\r\n" + whole).includes("\r\n.\r\n");
        assert.equal(run(options, "data", [octets(whole)]).ended, ended);
      }),
      { numRuns: 1000 },
    );
  });

  test("R7: octets of any value pass as they are in clean lines", () => {
    const clean = fc.array(fc.array(fc.integer({ min: 1, max: 255 }), { maxLength: 90 }), {
      maxLength: 40,
    }).map((lines) =>
      lines.map((line) => "x" + text(Uint8Array.from(line)).replace(/[\r\n]/g, "") + "\r\n").join(
        "",
      )
    );
    fc.assert(fc.property(clean, cuts, (body, sizes) => {
      const bytes = octets(body + ".\r\n");
      const chunks: Uint8Array[] = [];
      let at = 0;
      for (const size of sizes) chunks.push(bytes.subarray(at, at += size * 37));
      chunks.push(bytes.subarray(at));
      assert.equal(run(relaxed, "data", chunks).content, body);
    }));
  });

  test("R9, R10: nothing that any server ends data at comes out, for all inputs of up to five octets", () => {
    const alphabet = ["\r", "\n", ".", "\0", "a"];
    let inputs = [""];
    for (let length = 0; length <= 5; length++) {
      for (const short of inputs) {
        const whole = short + "\r\n.\r\n";
        const expected = model(relaxed, "data", whole);
        for (const chunks of everyCut(whole)) {
          const outcome = run(relaxed, "data", chunks);
          if (outcome.content !== expected.content) assert.deepEqual(outcome, expected, short);
        }
        const { content } = expected;
        assert.doesNotMatch(content, /\0|\r(?!\n)|(?<!\r)\n|^\.\r\n|\r\n\.\r\n/);
        assert.match(content, /^$|\r\n$/);
        assert.equal(unstuff(octets(content)).length, expected.size);
      }
      inputs = inputs.flatMap((short) => alphabet.map((octet) => short + octet));
    }
  });

  test("R29: a line that never ends is held up to the limit, whatever is in it", () => {
    fc.assert(
      fc.property(settings, fc.array(octet, { minLength: 1, maxLength: 9 }), (options, parts) => {
        const endless = octets(parts.join("").replaceAll("\n", "x")).slice();
        run(options, "lines", Array.from({ length: 50 }, () => endless));
      }),
    );
  });
});
