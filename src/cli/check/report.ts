/**
 * What `postern check` prints: sections of findings, each right, doubtful or wrong, and what they come to.
 * @module
 */
import { EXIT } from "../errors.ts";
import type { CliIo } from "../io.ts";
import { hanging, styles } from "../output.ts";

/** One line of a section. */
export interface Finding {
  /**
   * `warning`: it works, and somebody should look; `broken`: something outside the file is not as it must be;
   * `wrong`: the configuration has to be changed.
   */
  readonly status: "ok" | "note" | "warning" | "broken" | "wrong";
  /** What it is about: a name, a file; empty where the detail says it. */
  readonly subject: string;
  readonly detail: string;
}

const MARKS = { ok: "ok", note: "-", warning: "warn", broken: "FAIL", wrong: "FAIL" } as const;
const WIDEST_SUBJECT = 36;

/** Prints sections as they come, and remembers how bad it is. */
export class CheckReport {
  readonly #io: CliIo;
  #warnings = 0;
  #broken = 0;
  #wrong = 0;

  constructor(io: CliIo) {
    this.#io = io;
  }

  /** Prints one section; nothing where there is nothing to say. */
  section(title: string, findings: readonly Finding[]): void {
    if (findings.length === 0) return;
    const style = styles(this.#io);
    const paint = {
      ok: style.green,
      note: style.dim,
      warning: style.yellow,
      broken: style.red,
      wrong: style.red,
    };
    const subjects = findings.map(({ subject }) => subject.length);
    const width = Math.min(WIDEST_SUBJECT, Math.max(0, ...subjects));
    let text = `${style.bold(title)}\n`;
    for (const { status, subject, detail } of findings) {
      if (status === "warning") this.#warnings++;
      else if (status === "broken") this.#broken++;
      else if (status === "wrong") this.#wrong++;
      const mark = `  ${paint[status](MARKS[status].padEnd(4))}  `;
      text += subject === ""
        ? hanging(mark, detail)
        : hanging(`${mark}${subject.padEnd(width)}  `, detail);
    }
    this.#io.stdout(`${text}\n`);
  }

  /** Prints the last line and gives the exit code. */
  end(): number {
    const style = styles(this.#io);
    const problems = this.#broken + this.#wrong;
    const counts = [
      ...(problems === 0 ? [] : [style.red(count(problems, "problem"))]),
      ...(this.#warnings === 0 ? [] : [style.yellow(count(this.#warnings, "warning"))]),
    ];
    this.#io.stdout(
      counts.length === 0 ? `${style.green("All is well")}\n` : `${counts.join(", ")}\n`,
    );
    return this.#wrong > 0 ? EXIT.usage : this.#broken > 0 ? EXIT.failed : EXIT.done;
  }
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}
