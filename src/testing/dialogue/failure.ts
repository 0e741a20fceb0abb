/**
 * What a dialogue fails with.
 * @module
 */
import type { DialogueStep } from "./parse.ts";

/** What was got differs from what a line says; whoever plays the dialogue adds the place. */
export class Differs extends Error {
  /** The line that came, where one did. */
  readonly got: string | undefined;

  constructor(why: string, got?: string) {
    super(why);
    this.got = got;
  }
}

/** A dialogue did not go as its file says. The message has everything, for any test runner. */
export class DialogueFailed extends Error {
  /** `file:line` */
  readonly place: string;
  /** The line of the dialogue that was not met. */
  readonly expected: string;
  /** The line that came in its stead; undefined: something else is wrong, and `why` says what. */
  readonly got: string | undefined;
  /** In one line. */
  readonly why: string;
  /** What the client and the server said. */
  readonly client: string;
  /** What the server and the upstream said. */
  readonly upstream: string;

  /** Made by whoever plays the dialogue. */
  constructor(
    dialogue: string,
    step: DialogueStep | undefined,
    cause: unknown,
    said: { readonly client: string; readonly upstream: string },
  ) {
    const why = cause instanceof Error ? cause.message : String(cause);
    const place = `${dialogue}:${step?.line ?? 1}`;
    const expected = step === undefined ? "" : `${step.kind} ${step.text}`;
    super(
      `${place}: ${expected}\n${why}\nclient side:\n${said.client}\nupstream side:\n${said.upstream}`,
      { cause },
    );
    this.place = place;
    this.expected = expected;
    this.got = cause instanceof Differs ? cause.got : undefined;
    this.why = why.split("\n", 1)[0] ?? "";
    this.client = said.client;
    this.upstream = said.upstream;
  }
}
