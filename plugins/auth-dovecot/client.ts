/**
 * A connection to Dovecot's auth service that many logins share, and its successor when it is gone.
 *
 * Owns: the handshake, which answer belongs to whom. Never: asks twice on one connection, or more than once again: a
 * question that was lost with a connection that had been idle is asked on a new one, once.
 * @module
 */
import type { ConnectAddress, Connection, Edge } from "@postern/postern/plugin";
import { type Answer, formatQuestion, parseLine, type Question, readAnswer } from "./protocol.ts";

/** Lines of the handshake; a server has a handful of mechanisms. */
const longestHandshake = 100;
const lastId = 0x7fffffff;

interface Waiter {
  readonly resolve: (answer: Answer) => void;
  readonly reject: (cause: unknown) => void;
}

/** Asks Dovecot. */
export class DovecotClient {
  readonly #edge: Edge;
  readonly #address: ConnectAddress;
  #line: AuthLine | undefined;

  constructor(edge: Edge, address: ConnectAddress) {
    this.#edge = edge;
    this.#address = address;
  }

  /** The answer; rejects when there is none. */
  async ask(question: Question, signal: AbortSignal): Promise<Answer> {
    const line = this.#current();
    const used = line.used;
    try {
      return await line.ask(question, signal);
    } catch (cause) {
      // Dovecot was started anew while nobody asked: that is no fault of this login.
      if (!used || line.open || signal.aborted) throw cause;
      return await this.#current().ask(question, signal);
    }
  }

  /** Ends the connection. */
  close(): void {
    this.#line?.close(new Error("The plugin is closed"));
  }

  #current(): AuthLine {
    if (this.#line?.open !== true) this.#line = new AuthLine(this.#edge, this.#address);
    return this.#line;
  }
}

/** One connection, from its opening to its end. */
class AuthLine {
  open = true;
  /** An answer has come over it. */
  used = false;
  readonly #cut = new AbortController();
  readonly #ready: Promise<Connection>;
  readonly #waiting = new Map<number, Waiter>();
  /** Lines that have come, to tell a slow answer from a dead server. */
  #heard = 0;
  #lastId = 0;

  constructor(edge: Edge, address: ConnectAddress) {
    this.#ready = this.#open(edge, address);
    // Whoever asks is told; an opening that fails when nobody does any more is nobody's business.
    this.#ready.catch(() => {});
  }

  async ask(question: Question, signal: AbortSignal): Promise<Answer> {
    const heard = this.#heard;
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    let id: number | undefined;
    const abandon = (): void => {
      reject(signal.reason);
      if (id !== undefined && this.#waiting.delete(id)) void this.#cancel(id);
      // Over budget and not a word in all that time: the server hangs. One that only waited for a client who went away
      // must not pay for it, nor the others on this connection.
      const gone = (signal.reason as { name?: unknown } | undefined)?.name === "AbortError";
      if (!gone && this.#heard === heard) this.close(new Error("Dovecot does not answer"));
    };
    signal.throwIfAborted();
    signal.addEventListener("abort", abandon, { once: true });
    try {
      const connection = await Promise.race([this.#ready, promise as Promise<never>]);
      if (!this.open) throw new Error("The connection to Dovecot is gone");
      id = this.#nextId();
      this.#waiting.set(id, { resolve, reject });
      await connection.write(formatQuestion(id, question));
      return await promise;
    } finally {
      signal.removeEventListener("abort", abandon);
      if (id !== undefined) this.#waiting.delete(id);
    }
  }

  close(cause: Error): void {
    if (!this.open) return;
    this.open = false;
    this.#cut.abort(cause);
    for (const { reject } of this.#waiting.values()) reject(cause);
    this.#waiting.clear();
  }

  async #open(edge: Edge, address: ConnectAddress): Promise<Connection> {
    try {
      const connection = await edge.connect(address, { signal: this.#cut.signal });
      // It must be unlike any other client's; a process id would be the same for two of these.
      const [id = 1] = crypto.getRandomValues(new Uint32Array(1));
      await connection.write(`VERSION\t1\t1\nCPID\t${(id % lastId) + 1}\n`);
      await handshake(connection);
      void this.#read(connection);
      return connection;
    } catch (cause) {
      this.close(cause instanceof Error ? cause : new Error(String(cause)));
      throw cause;
    }
  }

  async #read(connection: Connection): Promise<void> {
    try {
      for (;;) {
        const line = await connection.readLine();
        if (line === undefined) throw new Error("Dovecot closed the connection");
        this.#heard++;
        const [id, answer] = readAnswer(parseLine(line)) ?? [];
        if (id === undefined || answer === undefined) continue;
        this.used = true;
        this.#waiting.get(id)?.resolve(answer);
        this.#waiting.delete(id);
      }
    } catch (cause) {
      connection.destroy();
      this.close(cause instanceof Error ? cause : new Error(String(cause)));
    }
  }

  async #cancel(id: number): Promise<void> {
    try {
      await (await this.#ready).write(`CANCEL\t${id}\n`);
    } catch {
      // It is gone, and the question with it.
    }
  }

  #nextId(): number {
    do this.#lastId = this.#lastId === lastId ? 1 : this.#lastId + 1; while (
      this.#waiting.has(this.#lastId)
    );
    return this.#lastId;
  }
}

/** Up to DONE; a server that cannot do what we need is told of by name. */
async function handshake(connection: Connection): Promise<void> {
  let plain = false;
  let version = false;
  for (let count = 0; count < longestHandshake; count++) {
    const line = await connection.readLine();
    if (line === undefined) throw new Error("Dovecot closed the connection in the handshake");
    const { command, fields } = parseLine(line);
    if (command === "VERSION") {
      if (fields[0] !== "1") throw new Error("Dovecot speaks another version of the protocol");
      version = true;
    } else if (command === "MECH") plain ||= fields[0]?.toUpperCase() === "PLAIN";
    else if (command === "DONE") {
      if (!version) throw new Error("The service is no authentication service of Dovecot");
      if (!plain) throw new Error("Dovecot does not offer PLAIN (auth_mechanisms)");
      return;
    }
  }
  throw new Error("The service is no authentication service of Dovecot");
}
