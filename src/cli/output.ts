/**
 * What commands print: colours where they are wanted, aligned tables, one-line failures, a spinner while something
 * takes time.
 *
 * Results go to standard output; failures, prompts and progress to standard error.
 * @module
 */
import * as colors from "@std/fmt/colors";
import { visible } from "../settings/problem.ts";
import { Spinner } from "./args.ts";
import type { CliIo } from "./io.ts";

// The module's own switch looks at the process; the rule of `wantsColor` looks at the command's environment.
colors.setColorEnabled(true);

type Paint = (text: string) => string;

/** Colours, or functions that change nothing. */
export interface Styles {
  readonly bold: Paint;
  readonly dim: Paint;
  readonly red: Paint;
  readonly green: Paint;
  readonly yellow: Paint;
  readonly cyan: Paint;
}

const plain: Paint = (text) => text;
const PLAIN: Styles = {
  bold: plain,
  dim: plain,
  red: plain,
  green: plain,
  yellow: plain,
  cyan: plain,
};
const COLORED: Styles = {
  bold: colors.bold,
  dim: colors.dim,
  red: colors.red,
  green: colors.green,
  yellow: colors.yellow,
  cyan: colors.cyan,
};

/** NO_COLOR wins, then FORCE_COLOR (unless 0), then TERM=dumb; otherwise a terminal has colours. */
export function wantsColor(io: CliIo, stream: "stdout" | "stderr"): boolean {
  if (io.env("NO_COLOR")) return false;
  const force = io.env("FORCE_COLOR");
  if (force) return force !== "0";
  return io.env("TERM") !== "dumb" && io.isTerminal(stream);
}

/** The colours for a stream. */
export function styles(io: CliIo, stream: "stdout" | "stderr" = "stdout"): Styles {
  return wantsColor(io, stream) ? COLORED : PLAIN;
}

/** Rows with their columns aligned, each line with its end. Cells may hold colours. */
export function table(rows: readonly (readonly string[])[], indent = "", gap = "  "): string {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [column, cell] of row.entries()) {
      widths[column] = Math.max(widths[column] ?? 0, width(cell));
    }
  }
  let text = "";
  for (const row of rows) {
    const cells = row.map((cell, column) =>
      column === row.length - 1 ? cell : cell + " ".repeat((widths[column] ?? 0) - width(cell))
    );
    text += `${indent}${cells.join(gap)}`.trimEnd() + "\n";
  }
  return text;
}

function width(cell: string): number {
  return [...colors.stripAnsiCode(cell)].length;
}

/** Text, which may hold colours, broken between words so that no line is longer than `columns`, where words allow it. */
export function wrap(text: string, columns: number, indent = ""): string {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && indent.length + width(line) + 1 + width(word) > columns) {
      lines.push(line);
      line = word;
    } else {
      line = line === "" ? word : `${line} ${word}`;
    }
  }
  lines.push(line);
  return lines.map((each) => `${indent}${each}\n`).join("");
}

/** `head`, and behind it `text` broken so that no line is longer than 100 columns, where words allow it. */
export function hanging(head: string, text: string): string {
  const indent = " ".repeat(width(head));
  return head + wrap(text, 100, indent).slice(indent.length);
}

/** One line on standard error: `postern: MESSAGE`. */
export function fail(io: CliIo, message: string): void {
  io.stderr(`${styles(io, "stderr").red("postern:")} ${visible(message)}\n`);
}

/** Does `work` with a spinner on standard error where that is a terminal. */
export async function withSpinner<A>(
  io: CliIo,
  message: string,
  work: () => Promise<A>,
): Promise<A> {
  if (!io.isTerminal("stderr") || io.env("TERM") === "dumb") return await work();
  const spinner = new Spinner(
    wantsColor(io, "stderr") ? { message, color: "cyan" } : { message },
  );
  spinner.start();
  try {
    return await work();
  } finally {
    spinner.stop();
  }
}

/**
 * Does `work`, which counts messages: beside a spinner on standard error where that is a terminal, else with a line for
 * every thousand.
 */
export async function withProgress<A>(
  io: CliIo,
  message: string,
  work: (count: (done: number) => void) => Promise<A>,
): Promise<A> {
  if (!io.isTerminal("stderr") || io.env("TERM") === "dumb") {
    return await work((done) => {
      if (done % 1000 === 0) io.stderr(`${message}: ${done} messages\n`);
    });
  }
  const spinner = new Spinner(wantsColor(io, "stderr") ? { message, color: "cyan" } : { message });
  spinner.start();
  try {
    return await work((done) => {
      spinner.message = `${message}: ${done} messages`;
    });
  } finally {
    spinner.stop();
  }
}
