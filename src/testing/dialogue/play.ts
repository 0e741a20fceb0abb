/**
 * Plays a dialogue: one client, one upstream, every line in its order. Where the two are (in memory, on sockets) is the
 * stage's business.
 * @module
 */
import type { LineEnd } from "../lines.ts";
import { DialogueFailed, Differs } from "./failure.ts";
import {
  type Dialogue,
  type DialogueStep,
  isGap,
  matches,
  millisecondsOf,
  octetsOf,
} from "./parse.ts";
import type { DialogueUpstream } from "./upstream.ts";

/** What a dialogue is played on. */
export interface Stage {
  /** A new connection to the server under test. */
  connect(): Promise<LineEnd>;
  readonly upstream: DialogueUpstream;
  /** Turns the clock, where it is held by hand. */
  advance?(ms: number): Promise<void>;
}

/** Plays a dialogue to its end. Rejects with a {@linkcode DialogueFailed}. */
export async function playDialogue(dialogue: Dialogue, stage: Stage): Promise<void> {
  await withActors(dialogue, stage, async (actors, at) => {
    const gaps = new Set<DialogueStep["kind"]>();
    for (const step of dialogue.steps) {
      at(step);
      if (isGap(step)) gaps.add(step.kind);
      else await actors.step(step, gaps.delete(step.kind));
    }
    actors.nothingLeft();
  });
}

/** Runs `work` with the actors on the stage; `at` is told where it is, for the message of a failure. */
export async function withActors<A>(
  dialogue: Dialogue,
  stage: Stage,
  work: (actors: Actors, at: (step: DialogueStep) => void) => Promise<A>,
): Promise<A> {
  const actors = new Actors(dialogue, stage);
  let place = dialogue.steps[0];
  try {
    await actors.connect();
    return await work(actors, (step) => place = step);
  } catch (error) {
    throw new DialogueFailed(dialogue.name, place, error, {
      client: actors.transcript,
      upstream: stage.upstream.transcript.toString(),
    });
  } finally {
    actors.leave();
  }
}

/** The client and the upstream of one dialogue. */
export class Actors {
  readonly #dialogue: Dialogue;
  readonly #stage: Stage;
  #client: LineEnd | undefined;

  constructor(dialogue: Dialogue, stage: Stage) {
    this.#dialogue = dialogue;
    this.#stage = stage;
  }

  get transcript(): string {
    return this.#client?.transcript.toString() ?? "(no connection)";
  }

  /** The client's connection. */
  async client(): Promise<LineEnd> {
    return this.#client ?? await this.connect();
  }

  async connect(): Promise<LineEnd> {
    this.leave();
    return this.#client = await this.#stage.connect();
  }

  leave(): void {
    this.#client?.destroy();
  }

  /** Nobody may have said more than the dialogue. */
  nothingLeft(): void {
    const more = this.#client?.peek() ?? "";
    if (more !== "") throw new Differs(`the server said more than the dialogue: ${show(more)}`);
    const upstream = this.#stage.upstream.leftOver();
    if (upstream.length > 0) {
      throw new Differs(
        `the upstream was sent more than the dialogue: ${upstream.map(show).join(", ")}`,
      );
    }
  }

  /** `gap`: lines that are not like the pattern are passed over. */
  async step(step: DialogueStep, gap: boolean): Promise<void> {
    const client = await this.client();
    const { kind, text } = step;
    const where = `${this.#dialogue.name}:${step.line}`;
    switch (kind) {
      case "C:":
        // Who does not read must not keep the dialogue from going on.
        void client.write(`${text}\r\n`);
        return;
      case "C=":
        void client.write(octetsOf(text, where));
        return;
      case "S:":
        return await like(text, gap, () => replyLine(client));
      case "U>":
        return await like(text, gap, () => this.#stage.upstream.line());
      case "U<":
        return await this.#stage.upstream.say(text);
      case "U!":
        return await this.#stage.upstream.event(text);
      case "S!":
        return await closed(client);
      case "C!":
        if (text === "starttls") await client.upgradeClient();
        else if (text === "close") await client.end();
        else if (text === "reset") await client.reset();
        else await this.connect();
        return;
      case "T:":
        if (this.#stage.advance === undefined) {
          throw new Error("There is no clock to be turned on this transport");
        }
        return await this.#stage.advance(millisecondsOf(text, where));
    }
  }
}

async function replyLine(client: LineEnd): Promise<string> {
  const line = await client.line();
  if (line === undefined) {
    throw new Differs("the server closed the connection instead of a reply");
  }
  return line;
}

async function closed(client: LineEnd): Promise<void> {
  const line = await client.line();
  if (line !== undefined) throw new Differs(`got ${show(line)}`, line);
  await client.ended();
  if (client.unread > 0) throw new Differs(`half a line before the end: ${show(client.peek())}`);
}

async function like(pattern: string, gap: boolean, read: () => Promise<string>): Promise<void> {
  for (;;) {
    const line = await read();
    if (matches(pattern, line)) return;
    if (!gap) throw new Differs(`got ${show(line)}`, line);
  }
}

function show(text: string): string {
  return JSON.stringify(text);
}
