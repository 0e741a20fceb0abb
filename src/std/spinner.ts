/**
 * A portable stand-in for `@std/cli/unstable-spinner`, whose own runs on Deno only. The same surface, but it draws on
 * standard error, and draws nothing where that is no terminal.
 * @module
 */
import process from "node:process";

/** Colours of the frame. */
export type Color =
  | "black"
  | "red"
  | "green"
  | "yellow"
  | "blue"
  | "magenta"
  | "cyan"
  | "white"
  | "gray";

const COLOR_CODES: ReadonlyMap<Color, number> = new Map([
  ["black", 30],
  ["red", 31],
  ["green", 32],
  ["yellow", 33],
  ["blue", 34],
  ["magenta", 35],
  ["cyan", 36],
  ["white", 37],
  ["gray", 90],
]);

const FRAMES: readonly string[] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
const CLEAR_LINE = "\r\x1b[K";

/** Where a spinner draws. */
export interface SpinnerOutput {
  readonly isTTY?: boolean;
  write(text: string): unknown;
}

/** Options of {@linkcode Spinner}. */
export interface SpinnerOptions {
  /** The frames, in their order. */
  spinner?: readonly string[];
  /** Text behind the frame. */
  message?: string;
  /** Milliseconds between two frames; 75 by default. */
  interval?: number;
  /** Colour of the frame; none under NO_COLOR. */
  color?: Color;
  /** Standard error by default. */
  output?: SpinnerOutput;
}

/** A spinner: `start`, change `message` at will, `stop`. */
export class Spinner {
  /** Text behind the frame. */
  message: string;
  /** Colour of the frame. */
  color: Color | undefined;
  readonly #frames: readonly string[];
  readonly #interval: number;
  readonly #output: SpinnerOutput;
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(options: SpinnerOptions = {}) {
    this.message = options.message ?? "";
    this.color = options.color;
    this.#frames = options.spinner ?? FRAMES;
    this.#interval = options.interval ?? 75;
    this.#output = options.output ?? process.stderr;
  }

  /** Draws until `stop`. A second call changes nothing. */
  start(): void {
    if (this.#timer !== undefined || this.#output.isTTY !== true) return;
    let next = 0;
    const draw = () => {
      const frame = this.#frames[next++ % this.#frames.length] ?? "";
      this.#output.write(`${CLEAR_LINE}${this.#paint(frame)} ${this.message}`);
    };
    draw();
    this.#timer = setInterval(draw, this.#interval);
  }

  /** Stops and clears the line. */
  stop(): void {
    if (this.#timer === undefined) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#output.write(CLEAR_LINE);
  }

  #paint(frame: string): string {
    const code = this.color === undefined || process.env.NO_COLOR
      ? undefined
      : COLOR_CODES.get(this.color);
    return code === undefined ? frame : `\x1b[${code}m${frame}\x1b[0m`;
  }
}
