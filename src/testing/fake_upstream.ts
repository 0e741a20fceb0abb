/**
 * The server behind, as a test wants it: it answers as a good server would, but where its script says otherwise, and
 * remembers what it was sent.
 * @module
 */
import { DOT } from "../wire/bytes.ts";
import type { MemoryLines } from "./lines.ts";
import { guarded, type Transcript } from "./waiting.ts";

/** What the upstream can be asked; `dot` is the end of the content, `banner` the connection itself. */
export type UpstreamStep =
  | "banner"
  | "ehlo"
  | "auth"
  | "mail"
  | "rcpt"
  | "data"
  | "dot"
  | "rset"
  | "noop"
  | "quit";

/** A reply (`"550 5.1.1 No such user"`), `"close"` for hanging up, or a function that chooses; the line is the command. */
export type UpstreamReply = string | ((line: string) => string | Promise<string>);

/** Replies by step, where they are not a good server's. */
export interface UpstreamScript extends Partial<Readonly<Record<UpstreamStep, UpstreamReply>>> {
  /** Keywords behind EHLO. Default: PIPELINING, SIZE, 8BITMIME, SMTPUTF8 and DSN. */
  readonly offers?: readonly string[];
}

/** A message whose end came. */
export interface UpstreamMessage {
  /** Between the angle brackets of MAIL. */
  readonly from: string;
  /** Between the angle brackets of each RCPT that was taken. */
  readonly to: readonly string[];
  /** Octets without transparency dots, ended by CRLF. */
  readonly content: Uint8Array;
  /** The content as UTF-8. */
  readonly text: string;
}

/** What a test sees of the upstream. */
export interface FakeUpstream {
  /** Command lines, in order, over all connections. */
  readonly commands: readonly string[];
  /** Messages whose end of data came, in order. */
  readonly messages: readonly UpstreamMessage[];
  /** Resolves when there are so many messages. */
  received(count: number): Promise<void>;
}

const OFFERS = ["PIPELINING", "SIZE 104857600", "8BITMIME", "SMTPUTF8", "DSN"];
const STEPS: ReadonlySet<string> = new Set<UpstreamStep>(
  ["ehlo", "auth", "mail", "rcpt", "data", "rset", "noop", "quit"],
);

interface Conversation {
  from: string;
  to: string[];
}

/** The fake, for whoever listens. */
export class AnsweringUpstream implements FakeUpstream {
  readonly commands: string[] = [];
  readonly messages: UpstreamMessage[] = [];
  readonly #script: UpstreamScript;
  readonly #transcript: Transcript;
  readonly #patience: number;
  readonly #open = new Set<MemoryLines>();
  readonly #running = new Set<Promise<void>>();
  #waiting: (() => void)[] = [];

  constructor(script: UpstreamScript, transcript: Transcript, patience: number) {
    this.#script = script;
    this.#transcript = transcript;
    this.#patience = patience;
  }

  async received(count: number): Promise<void> {
    while (this.messages.length < count) {
      const more = new Promise<void>((resolve) => this.#waiting.push(resolve));
      const describe = () => `message ${count} at the upstream\n${this.#transcript}`;
      await guarded(more, describe, this.#patience);
    }
  }

  /** Converses on a new connection. */
  accept(io: MemoryLines): void {
    this.#open.add(io);
    const running = this.#converse(io).finally(() => {
      io.destroy();
      this.#open.delete(io);
      this.#running.delete(running);
    });
    this.#running.add(running);
  }

  /** Ends every connection. */
  async stop(): Promise<void> {
    for (const io of this.#open) io.destroy();
    await Promise.all(this.#running);
  }

  async #converse(io: MemoryLines): Promise<void> {
    const conversation: Conversation = { from: "", to: [] };
    if (!await this.#react(io, "banner", "", "220 upstream.test ESMTP")) return;
    for (;;) {
      const line = await io.next();
      if (line === undefined) return;
      this.commands.push(line);
      if (!await this.#command(io, conversation, line)) return;
    }
  }

  /** False: the connection is over. */
  async #command(io: MemoryLines, conversation: Conversation, line: string): Promise<boolean> {
    const step = line.split(/[ :]/, 1)[0]?.toLowerCase() ?? "";
    if (!isStep(step)) {
      await io.write("500 5.5.2 Unknown\r\n");
      return true;
    }
    const reply = await this.#react(io, step, line, this.#usual(step));
    if (reply === undefined) return false;
    if (step === "mail" && reply.startsWith("2")) {
      conversation.from = path(line);
      conversation.to = [];
    } else if (step === "rcpt" && reply.startsWith("2")) conversation.to.push(path(line));
    else if (step === "data" && reply.startsWith("354")) return await this.#data(io, conversation);
    return step !== "quit";
  }

  /** Says what the script says, else what is usual; undefined: it hung up. */
  async #react(
    io: MemoryLines,
    step: UpstreamStep,
    line: string,
    usual: string,
  ): Promise<string | undefined> {
    const scripted = this.#script[step];
    const reply = typeof scripted === "function" ? await scripted(line) : scripted ?? usual;
    if (reply === "close") return undefined;
    await io.write(`${reply}\r\n`);
    return reply;
  }

  async #data(io: MemoryLines, { from, to }: Conversation): Promise<boolean> {
    const lines: Uint8Array[] = [];
    for (;;) {
      const line = await io.nextOctets();
      if (line === undefined) return false;
      if (line.length === 1 && line[0] === DOT) break;
      lines.push(line[0] === DOT ? line.subarray(1) : line);
    }
    const content = contentOf(lines);
    this.messages.push({ from, to, content, text: new TextDecoder().decode(content) });
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resume of waiting) resume();
    return await this.#react(io, "dot", "", "250 2.0.0 Ok") !== undefined;
  }

  #usual(step: UpstreamStep): string {
    switch (step) {
      case "ehlo": {
        const lines = ["upstream.test", ...this.#script.offers ?? OFFERS];
        return lines.map((text, at) => `250${at === lines.length - 1 ? " " : "-"}${text}`)
          .join("\r\n");
      }
      case "auth":
        return "235 2.7.0 Welcome";
      case "data":
        return "354 Go ahead";
      case "quit":
        return "221 2.0.0 Bye";
      default:
        return "250 2.0.0 Ok";
    }
  }
}

function isStep(step: string): step is UpstreamStep {
  return STEPS.has(step);
}

/** Lines with their line ends. */
function contentOf(lines: readonly Uint8Array[]): Uint8Array {
  const content = new Uint8Array(lines.reduce((sum, line) => sum + line.length + 2, 0));
  let at = 0;
  for (const line of lines) {
    content.set(line, at);
    content.set([0x0d, 0x0a], at + line.length);
    at += line.length + 2;
  }
  return content;
}

/** What is between the outermost angle brackets. */
function path(line: string): string {
  return /<(.*)>/.exec(line)?.[1] ?? "";
}
