/**
 * One connection to one upstream SMTP server: replies matched to what was sent, in order, each with its deadline.
 * An unasked reply, a malformed one or octets behind the last reply end it: it is never read as an answer (R6, R24).
 * @module
 */
import type { Extensions } from "../session/capabilities.ts";
import { noExtensions } from "../session/capabilities.ts";
import type { Deadline, Deadlines } from "../transport/deadlines.ts";
import type { Duplex } from "../transport/duplex.ts";
import { type Reply, ReplyParser } from "../wire/reply.ts";
import { LegDown, type Told } from "./leg.ts";

type Phase = LegDown["phase"];
interface Waiter {
  readonly told: Told;
  readonly phase: Phase;
  readonly timeout: number;
}

/** A connection, during set-up, in a transaction, or idle in its pool. */
export class UpstreamConnection implements Deadline {
  /** Deadline of the reply that is awaited; while idle, of the idle time. */
  at = Infinity;
  /** What EHLO said last. */
  extensions: Extensions = noExtensions;
  /** Transactions so far. */
  uses = 0;
  /** Whose identity was told by XCLIENT or PROXY; `""`: nobody's. */
  identity = "";
  /** Called once when the connection is gone. */
  onGone: () => void = () => {};
  /** Called when `write` may go on. */
  onDrain: () => void = () => {};
  /** The server spoke or the connection broke while nobody awaited a reply, in mid-body. */
  onUnasked: (down: LegDown) => void = () => {};

  readonly #duplex: Duplex;
  readonly #deadlines: Deadlines;
  readonly #waiting: Waiter[] = [];
  #parser = new ReplyParser();
  #gone: LegDown | undefined;

  constructor(readonly name: string, duplex: Duplex, deadlines: Deadlines) {
    this.#duplex = duplex;
    this.#deadlines = deadlines;
    deadlines.add(this);
    duplex.handle({
      data: (chunk) => this.#data(chunk),
      end: () => this.#fail("closed the connection"),
      drain: () => this.onDrain(),
      close: (error) => this.#fail(error?.message ?? "closed the connection"),
    });
    duplex.resume();
  }

  /** True until anything went wrong. */
  get alive(): boolean {
    return this.#gone === undefined;
  }

  /** True once TLS is up. */
  get secure(): boolean {
    return this.#duplex.tls !== undefined;
  }

  /** Set when TLS is up. */
  get tls(): Duplex["tls"] {
    return this.#duplex.tls;
  }

  /** The socket, for STARTTLS. */
  get duplex(): Duplex {
    return this.#duplex;
  }

  /** Octets that came behind the last reply: plain text behind the 220 to STARTTLS (R13). */
  get buffered(): number {
    return this.#parser.buffered;
  }

  /** Awaits one reply. `told` is called once, maybe in this call. */
  expect(phase: Phase, timeout: number, told: Told): void {
    if (this.#gone !== undefined) {
      // It went down before this was asked: what it said then is no answer to it.
      told(new LegDown({ message: this.#gone.message, phase }));
      return;
    }
    if (this.#waiting.length === 0) this.at = this.#deadlines.now + timeout;
    this.#waiting.push({ told, phase, timeout });
  }

  /**
   * Sends lines and awaits one reply for each: all at once where the server takes that (RFC 2920), else one by one. `told` is
   * called once. By callback, as every message asks three times: an Effect that waits costs more than the question.
   */
  exchange(
    lines: readonly string[],
    phase: Phase,
    timeout: number,
    told: (result: readonly Reply[] | LegDown) => void,
  ): void {
    const replies: Reply[] = [];
    const pipelined = this.extensions.pipelining;
    let over = false;
    const one = (result: Reply | LegDown): void => {
      if (over) return;
      if (result instanceof LegDown) {
        over = true;
        told(result);
        return;
      }
      replies.push(result);
      if (replies.length === lines.length) told(replies);
      else if (!pipelined) send(replies.length);
    };
    const send = (index: number): void => {
      this.send(`${lines[index]}\r\n`);
      this.expect(phase, timeout, one);
    };
    if (pipelined) {
      this.send(`${lines.join("\r\n")}\r\n`);
      for (let i = 0; i < lines.length; i++) this.expect(phase, timeout, one);
    } else send(0);
  }

  /** Sends text. */
  send(text: string): void {
    if (this.#gone === undefined) this.#duplex.write(text);
  }

  /** Sends octets; false: wait for `onDrain`. */
  write(chunk: Uint8Array): boolean {
    return this.#gone !== undefined || this.#duplex.write(chunk);
  }

  /** True while a reply is awaited. */
  get busy(): boolean {
    return this.#waiting.length > 0;
  }

  /** Octets not yet taken by the kernel. */
  get pending(): number {
    return this.#duplex.pending;
  }

  /** Ends it without a word: after anything odd, and instead of a dot. */
  destroy(why = "dropped by us"): void {
    this.#fail(why);
  }

  /** Ends it politely. */
  quit(): void {
    if (this.#gone !== undefined) return;
    this.#duplex.write("QUIT\r\n");
    this.#duplex.end();
    this.#lost("closed by us");
    // The reply to QUIT interests nobody, but a server that never closes must not hold the socket.
    this.#duplex.handle({
      data: () => {},
      end: () => this.#duplex.destroy(),
      drain: () => {},
      close: () => this.#deadlines.delete(this),
    });
    this.at = this.#deadlines.now + 5_000;
    this.#deadlines.add(this);
    this.#closing = true;
  }

  #closing = false;

  /** A fresh parser after TLS, handlers again ours. */
  resetParser(): void {
    this.#parser = new ReplyParser();
  }

  expired(): void {
    if (this.#closing) {
      this.#deadlines.delete(this);
      this.#duplex.destroy();
    } else if (this.#waiting.length > 0) this.#fail("timed out");
    else this.quit();
  }

  #data(chunk: Uint8Array): void {
    this.#parser.feed(chunk);
    for (;;) {
      if (this.#gone !== undefined) return;
      const next = this.#parser.next();
      if (next === undefined) return;
      if ("fault" in next) {
        this.#fail(`sent a malformed reply (${next.fault})`);
        return;
      }
      const waiter = this.#waiting.shift();
      if (waiter === undefined) {
        this.#fail(`said ${next.code} unasked`, next);
        return;
      }
      const following = this.#waiting[0];
      this.at = following === undefined ? Infinity : this.#deadlines.now + following.timeout;
      waiter.told(next);
    }
  }

  #fail(why: string, reply?: Reply): void {
    if (this.#gone !== undefined) return;
    this.#lost(why, reply);
    this.#duplex.destroy();
  }

  #lost(why: string, reply?: Reply): void {
    const waiting = this.#waiting.splice(0);
    const down = new LegDown({
      message: `${this.name}: ${why}`,
      phase: waiting[0]?.phase ?? "body",
      ...(reply === undefined ? {} : { reply }),
    });
    this.#gone = down;
    this.at = Infinity;
    this.#deadlines.delete(this);
    for (const waiter of waiting) waiter.told(down);
    if (waiting.length === 0) this.onUnasked(down);
    this.onGone();
  }
}
