/**
 * A client that a test speaks by: it sends what it is told and expects replies to the line.
 * @module
 */
import { matches } from "./dialogue/parse.ts";
import type { LineEnd } from "./lines.ts";

/** One reply, as it was read. */
export interface ClientReply {
  /** The three digits. */
  readonly code: number;
  /** Text of each line, behind the code and its space or hyphen. */
  readonly lines: readonly string[];
  /** The last line as it came, which is what patterns are held against: `250 2.1.0 Ok`. */
  readonly text: string;
}

/** One message to send. */
export interface ClientMessage {
  /** Default `sender@client.test`; `""` is the null reverse-path. */
  readonly from?: string;
  /** One recipient or several. */
  readonly to: string | readonly string[];
  /** Header, empty line, body; line ends may be `\n`. Default: a short message. */
  readonly content?: string;
}

/** One connection to the server under test. A wait for what does not come fails with the conversation. */
export interface TestClient {
  /** What was said so far. */
  readonly transcript: string;
  /** Sends a line and CRLF. */
  send(line: string): Promise<void>;
  /** Sends octets as they are. */
  sendRaw(octets: Uint8Array | string): Promise<void>;
  /** The next reply, whatever it is. */
  reply(): Promise<ClientReply>;
  /** The next reply, whose last line must be like the pattern (`"250 2.1.0 *"`, where `*` is any text). */
  expect(pattern: string): Promise<ClientReply>;
  /** Sends a line and expects its reply. */
  command(line: string, pattern?: string): Promise<ClientReply>;
  /** EHLO; the keywords that the server offers. */
  ehlo(name?: string): Promise<readonly string[]>;
  /** STARTTLS and what is played of its handshake. The EHLO that must follow is the caller's. */
  starttls(): Promise<void>;
  /** AUTH PLAIN. */
  login(user: string, password: string): Promise<ClientReply>;
  /** A whole transaction; the first reply that is no success ends it and is given, else that to the end of data. */
  sendMessage(message: ClientMessage): Promise<ClientReply>;
  /** The server must end the connection, and say nothing more before. */
  expectClosed(): Promise<void>;
  /** QUIT, 221, and the server's end. */
  quit(): Promise<void>;
  /** Gone at once, as a client that is unplugged. */
  close(): void;
}

/** The client on lines. */
export class LineClient implements TestClient {
  readonly #io: LineEnd;

  constructor(io: LineEnd) {
    this.#io = io;
  }

  get transcript(): string {
    return this.#io.transcript.toString();
  }

  send(line: string): Promise<void> {
    return this.#io.write(`${line}\r\n`);
  }

  sendRaw(octets: Uint8Array | string): Promise<void> {
    return this.#io.write(octets);
  }

  async reply(): Promise<ClientReply> {
    const lines: string[] = [];
    for (;;) {
      const line = await this.#io.line();
      if (line === undefined) this.#fail("The server closed the connection instead of a reply");
      if (!/^[2-5][0-9]{2}(?:[ -]|$)/.test(line)) this.#fail(`Not a reply: ${line}`);
      lines.push(line.slice(4));
      if (line[3] !== "-") return { code: Number(line.slice(0, 3)), lines, text: line };
    }
  }

  async expect(pattern: string): Promise<ClientReply> {
    const reply = await this.reply();
    if (!matches(pattern, reply.text)) this.#fail(`Expected ${pattern}, got ${reply.text}`);
    return reply;
  }

  async command(line: string, pattern?: string): Promise<ClientReply> {
    await this.send(line);
    return await (pattern === undefined ? this.reply() : this.expect(pattern));
  }

  async ehlo(name = "client.test"): Promise<readonly string[]> {
    const { lines } = await this.command(`EHLO ${name}`, "250 *");
    return lines.slice(1);
  }

  async starttls(): Promise<void> {
    await this.command("STARTTLS", "220 *");
    await this.#io.upgradeClient();
  }

  login(user: string, password: string): Promise<ClientReply> {
    return this.command(`AUTH PLAIN ${base64(`\0${user}\0${password}`)}`);
  }

  async sendMessage({ from, to, content }: ClientMessage): Promise<ClientReply> {
    const recipients = typeof to === "string" ? [to] : to;
    for (
      const line of [
        `MAIL FROM:<${from ?? "sender@client.test"}>`,
        ...recipients.map((recipient) => `RCPT TO:<${recipient}>`),
        "DATA",
      ]
    ) {
      const reply = await this.command(line);
      if (reply.code >= 400) return reply;
    }
    const text = (content ?? "Subject: Hello\n\nHello\n").replace(/\r?\n/g, "\r\n");
    const whole = text.endsWith("\r\n") ? text : `${text}\r\n`;
    await this.sendRaw(`${whole.replace(/^\./gm, "..")}.\r\n`);
    return await this.reply();
  }

  async expectClosed(): Promise<void> {
    const line = await this.#io.line();
    if (line !== undefined) this.#fail(`Expected the end, got ${line}`);
    await this.#io.ended();
  }

  async quit(): Promise<void> {
    await this.command("QUIT", "221 *");
    await this.expectClosed();
    this.close();
  }

  close(): void {
    this.#io.destroy();
  }

  #fail(why: string): never {
    throw new Error(`${why}\n${this.transcript}`);
  }
}

function base64(text: string): string {
  return btoa(String.fromCharCode(...new TextEncoder().encode(text)));
}
