/**
 * A raw SMTP client for tests: it sends what it is told, octet for octet, and expects replies to the line.
 *
 * Every wait is for an event, under a guard that fails the test with the transcript. With `split` every write is cut
 * into so many octets.
 *
 * ```ts
 * await using client = await SmtpClient.connect(port);
 * await client.expect(220);
 * await client.ehlo();
 * client.send("MAIL FROM:<a@client.test>");
 * await client.expect("250 2.1.0");
 * ```
 * @module
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import * as net from "node:net";
import type * as tls from "node:tls";
import type { Network } from "../../src/transport/duplex.ts";
import { stuffed } from "./dot_reader.ts";
import { type Ending, LineSocket, Transcript } from "./line_socket.ts";
import { MemorySocket } from "./memory_socket.ts";

/** How to connect. */
export interface ConnectOptions {
  readonly host?: string;
  /** Octets a write carries at most. */
  readonly split?: number;
  /** TLS from the first octet; certificates are not verified unless it says so. */
  readonly tls?: tls.ConnectionOptions | true;
  /** Sent before anything else: a PROXY header. */
  readonly preface?: Uint8Array | string;
  readonly localAddress?: string;
  /** A network in memory in the place of real sockets; it has its own cuts, and no `localAddress`. */
  readonly network?: Network;
}

/** One reply, as it was read. */
export interface ClientReply {
  readonly code: number;
  /** Text of each line, behind the code and its space or hyphen. */
  readonly lines: readonly string[];
  /** The lines as they came, joined by a line feed. */
  readonly text: string;
}

/** One message to send. */
export interface TestMessage {
  readonly from?: string;
  readonly to: string | readonly string[];
  /** Plain form; dots are stuffed and the terminator is added. */
  readonly content?: Uint8Array | string;
  /** Behind `MAIL FROM:<...>`, with its space: ` BODY=8BITMIME`. */
  readonly params?: string;
}

/** One connection to the server under test. */
export class SmtpClient implements AsyncDisposable {
  readonly io: LineSocket;
  /** Keywords of the last EHLO, upper case, with their parameters. */
  capabilities: readonly string[] = [];

  private constructor(io: LineSocket) {
    this.io = io;
  }

  /** Connects; with `tls` the handshake is part of it. The banner is left to be read. */
  static async connect(port: number, options: ConnectOptions = {}): Promise<SmtpClient> {
    const socket = options.network === undefined
      ? await connected(port, options)
      : await MemorySocket.connect(options.network, port, options.host ?? "127.0.0.1");
    const client = new SmtpClient(new LineSocket(socket, new Transcript(), options.split));
    if (options.preface !== undefined) await client.sendRaw(options.preface);
    if (options.tls !== undefined) {
      await client.io.upgradeClient(options.tls === true ? {} : options.tls);
    }
    return client;
  }

  /** What was said, for messages of failed tests. */
  get transcript(): string {
    return this.io.transcript.toString();
  }

  /** Sends a line and CRLF. The promise is for those who need to know that it has left. */
  send(line: string): Promise<void> {
    return this.io.write(`${line}\r\n`);
  }

  /** Sends octets as they are. */
  sendRaw(octets: Uint8Array | string): Promise<void> {
    return this.io.write(octets);
  }

  /** The next line of a reply, without CRLF. */
  async line(): Promise<string> {
    const line = await this.io.line();
    if (line === undefined) this.fail("the server closed the connection instead of a reply");
    return line;
  }

  /** The next reply, whatever it is; its form must be right (RFC 5321 section 4.2.1). */
  async reply(): Promise<ClientReply> {
    const whole: string[] = [];
    for (;;) {
      const line = await this.line();
      whole.push(line);
      const match = /^([2-5][0-5][0-9])(?:([ -])([^\r\n]*))?$/.exec(line);
      if (match === null) this.fail(`not a reply line: ${JSON.stringify(line)}`);
      if (match[1] !== whole[0]?.slice(0, 3)) {
        this.fail("the lines of a reply differ in their code");
      }
      if (match[2] === "-") continue;
      return {
        code: Number(match[1]),
        lines: whole.map((text) => text.slice(4)),
        text: whole.join("\n"),
      };
    }
  }

  /** The next reply must be this: a code, the beginning of its last line (`250 2.1.5`), or a pattern for its text. */
  async expect(wanted: number | string | RegExp): Promise<ClientReply> {
    const reply = await this.reply();
    const last = reply.text.slice(reply.text.lastIndexOf("\n") + 1);
    const right = typeof wanted === "number"
      ? reply.code === wanted
      : typeof wanted === "string"
      ? last.startsWith(wanted)
      : wanted.test(reply.text);
    if (!right) this.fail(`expected ${wanted}, got ${JSON.stringify(reply.text)}`);
    return reply;
  }

  /** Sends a line and expects its reply. */
  command(line: string, wanted: number | string | RegExp): Promise<ClientReply> {
    this.send(line);
    return this.expect(wanted);
  }

  /** EHLO; the keywords that the server offers. */
  async ehlo(name = "client.test"): Promise<readonly string[]> {
    const reply = await this.command(`EHLO ${name}`, 250);
    return this.capabilities = reply.lines.slice(1).map((line) => line.toUpperCase());
  }

  /** STARTTLS and its handshake. The EHLO that must follow is the caller's. */
  async starttls(options: tls.ConnectionOptions = {}): Promise<void> {
    await this.command("STARTTLS", 220);
    await this.io.upgradeClient(options);
  }

  /** AUTH PLAIN with an initial response. */
  authPlain(
    user: string,
    password: string,
    wanted: number | string | RegExp = 235,
  ): Promise<ClientReply> {
    const response = Buffer.from(`\0${user}\0${password}`).toString("base64");
    return this.command(`AUTH PLAIN ${response}`, wanted);
  }

  /** A whole transaction; every step before the last must succeed. The reply to the end of data, whatever it is. */
  async sendMessage(message: TestMessage): Promise<ClientReply> {
    const from = message.from ?? "sender@client.test";
    await this.command(`MAIL FROM:<${from}>${message.params ?? ""}`, 250);
    for (const to of typeof message.to === "string" ? [message.to] : message.to) {
      await this.command(`RCPT TO:<${to}>`, 250);
    }
    await this.command("DATA", 354);
    this.sendRaw(stuffed(Buffer.from(message.content ?? "Subject: test\r\n\r\nHello\r\n")));
    return await this.reply();
  }

  /** The server must end the connection, and say nothing more before. How it did. */
  async expectClosed(): Promise<Ending> {
    const line = await this.io.line();
    if (line !== undefined) this.fail(`expected the end, got ${JSON.stringify(line)}`);
    const ending = await this.io.ended();
    if (this.io.unread > 0) this.fail(`half a line before the end: ${this.io.peek()}`);
    return ending;
  }

  /** QUIT, 221, and the server's end. */
  async quit(): Promise<void> {
    await this.command("QUIT", 221);
    await this.expectClosed();
    this.close();
  }

  /** FIN (behind close_notify); the server's replies can still be read. */
  end(): Promise<void> {
    return this.io.end();
  }

  /** RST. */
  reset(): Promise<void> {
    return this.io.reset();
  }

  /** Gone at once. */
  close(): void {
    this.io.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
    await this.io.destroyed;
  }

  /** Fails the test, with the transcript. */
  fail(why: string): never {
    assert.fail(`${why}\n${this.transcript}`);
  }
}

/** A connected socket. */
async function connected(port: number, options: ConnectOptions): Promise<net.Socket> {
  const socket = net.connect({
    port,
    host: options.host ?? "127.0.0.1",
    allowHalfOpen: true,
    ...(options.localAddress === undefined ? {} : { localAddress: options.localAddress }),
  });
  await new Promise<void>((resolve, reject) => {
    socket.once("error", reject);
    socket.once("connect", () => {
      socket.off("error", reject);
      resolve();
    });
  });
  return socket;
}
