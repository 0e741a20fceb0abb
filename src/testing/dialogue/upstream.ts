/**
 * The upstream of a dialogue: it answers by itself what the dialogue does not speak of, and keeps the rest until the
 * dialogue asks for it.
 * @module
 */
import type { LineEnd } from "../lines.ts";
import { guarded, Transcript } from "../waiting.ts";
import { Differs } from "./failure.ts";
import type { Dialogue } from "./parse.ts";

const courtesies = ["EHLO", "HELO", "RSET", "NOOP", "QUIT"];

function verbOf(line: string): string {
  return line.split(/[ :]/, 1)[0]?.toUpperCase() ?? "";
}

interface Conversation {
  readonly io: LineEnd;
  /** Between 354 and the dot. */
  inBody: boolean;
  /** The end of data came since the last 354. */
  dot: boolean;
}

/** How the upstream's connections are kept. */
export interface UpstreamOptions {
  /** TLS, server side. */
  readonly secure: (io: LineEnd) => Promise<void>;
  /** Milliseconds of real time that a wait may take. */
  readonly patience: number;
}

/** The server behind: whoever listens hands it the connections. */
export class DialogueUpstream {
  readonly transcript: Transcript = new Transcript();
  capabilities: readonly string[] = [];
  readonly #options: UpstreamOptions;
  readonly #all: Conversation[] = [];
  readonly #running: Promise<void>[] = [];
  /** Lines that the dialogue has to ask for, in order; undefined: a connection was made. */
  #inbox: { readonly from: Conversation; readonly line: string | undefined }[] = [];
  #wake: () => void = () => {};
  #current: Conversation | undefined;
  readonly #answersAll: boolean;
  readonly #answers: ReadonlySet<string>;
  readonly #tellsConnect: boolean;

  constructor(dialogue: Dialogue, options: UpstreamOptions) {
    this.#options = options;
    const asked = dialogue.steps.filter((step) => step.kind === "U>").map((step) => step.text);
    const named = new Set(asked.map(verbOf));
    this.#answersAll = asked.length === 0;
    this.#answers = new Set(courtesies.filter((verb) => !named.has(verb)));
    this.#tellsConnect = dialogue.steps.some((s) => s.kind === "U!" && s.text === "connect");
  }

  /** Converses on a new connection. */
  accept(io: LineEnd): void {
    const conversation: Conversation = { io, inBody: false, dot: false };
    this.#all.push(conversation);
    this.#running.push(this.#converse(conversation));
  }

  /** Ends every connection. */
  async stop(): Promise<void> {
    for (const { io } of this.#all) io.destroy();
    await Promise.all(this.#running);
  }

  /** The next line that the upstream was sent and has not answered by itself. */
  async line(): Promise<string> {
    const { from, line } = await this.#next("a line to the upstream");
    if (line === undefined) throw new Differs("the upstream got a connection instead of a line");
    this.#current = from;
    return line;
  }

  /** Says a line on the connection that the last line came from. */
  async say(text: string): Promise<void> {
    const current = await this.#conversation();
    if (text.startsWith("354")) {
      current.inBody = true;
      current.dot = false;
    }
    await current.io.write(`${text}\r\n`);
  }

  /** One `U!` step. */
  async event(what: string): Promise<void> {
    if (what === "connect") {
      const { from, line } = await this.#next("a connection to the upstream");
      if (line !== undefined) throw new Differs("the upstream got a line instead of a connection");
      this.#current = from;
      return;
    }
    const current = await this.#conversation();
    switch (what) {
      case "starttls":
        return await this.#options.secure(current.io);
      case "close":
        return await current.io.end();
      case "reset":
        return await current.io.reset();
      case "closed before dot":
        await current.io.ended();
        if (current.dot) throw new Differs("the upstream was sent the end of data");
        this.#forget(current);
        return;
      default:
        await current.io.ended();
        this.#forget(current);
    }
  }

  /** Takes a line that has come and was not asked for; undefined: there is none now. */
  arrived(): string | undefined {
    const [first] = this.#inbox;
    if (first?.line === undefined) return undefined;
    this.#inbox.shift();
    this.#current = first.from;
    return first.line;
  }

  /** Lines that came and were not asked for. */
  leftOver(): readonly string[] {
    return this.#inbox.map((entry) => entry.line ?? "a connection");
  }

  /** How much of a message that was dropped came before its end is chance. */
  #forget(conversation: Conversation): void {
    this.#inbox = this.#inbox.filter(({ from }) => from !== conversation);
  }

  async #conversation(): Promise<Conversation> {
    const current = this.#current ?? this.#all.at(-1);
    if (current !== undefined) return current;
    await this.#event("a connection to the upstream");
    return await this.#conversation();
  }

  async #next(what: string) {
    for (;;) {
      const entry = this.#inbox.shift();
      if (entry !== undefined) return entry;
      await this.#event(what);
    }
  }

  #event(what: string): Promise<void> {
    const woken = new Promise<void>((resolve) => this.#wake = resolve);
    return guarded(woken, () => what, this.#options.patience);
  }

  async #converse(conversation: Conversation): Promise<void> {
    const { io } = conversation;
    if (this.#tellsConnect) this.#inbox.push({ from: conversation, line: undefined });
    else await io.write("220 upstream.test ESMTP\r\n");
    this.#wake();
    for (;;) {
      const line = await io.next();
      if (line === undefined) return await io.end();
      if (conversation.inBody) {
        conversation.dot = line === ".";
        conversation.inBody = !conversation.dot;
        if (!this.#answersAll) this.#keep(conversation, line);
        else if (conversation.dot) await io.write("250 2.0.0 ok\r\n");
      } else if (this.#answersAll || this.#answers.has(verbOf(line))) {
        await this.#answer(conversation, verbOf(line));
      } else this.#keep(conversation, line);
    }
  }

  #keep(from: Conversation, line: string): void {
    this.#inbox.push({ from, line });
    this.#wake();
  }

  async #answer(conversation: Conversation, verb: string): Promise<void> {
    const { io } = conversation;
    switch (verb) {
      case "EHLO": {
        const lines = ["upstream.test", ...this.capabilities];
        const reply = lines.map((text, i) => `250${i === lines.length - 1 ? " " : "-"}${text}\r\n`);
        return await io.write(reply.join(""));
      }
      case "DATA":
        conversation.inBody = true;
        conversation.dot = false;
        return await io.write("354 go ahead\r\n");
      case "QUIT":
        await io.write("221 2.0.0 bye\r\n");
        return await io.end();
      default:
        return await io.write("250 2.0.0 ok\r\n");
    }
  }
}
