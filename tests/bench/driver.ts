/**
 * The clients of a bench: a process that sends messages, or holds connections open, as it is asked.
 *
 * Bounded in count and in time, loopback only. One command at a time, every command one write.
 * @module
 */
import { Buffer } from "node:buffer";
import * as net from "node:net";
import * as tls from "node:tls";
import { serveParent } from "./child.ts";

/** Send messages. */
export interface LoadRequest {
  readonly kind: "load";
  readonly port: number;
  readonly secure: boolean;
  readonly size: number;
  readonly atOnce: number;
  readonly perConnection: number;
  /** No message is begun after so many seconds, */
  readonly seconds: number;
  /** nor after so many messages. */
  readonly most: number;
}

/** Have so many connections open that were greeted and said EHLO; 0 closes them all. */
export interface IdleRequest {
  readonly kind: "idle";
  readonly port: number;
  readonly secure: boolean;
  readonly count: number;
}

/** Answer to either request. */
export interface DriverAnswer {
  /** Messages acknowledged with 250, or connections open. */
  readonly done: number;
  /** Connections that ended otherwise than they should. */
  readonly errors: number;
  /** The first of them. */
  readonly error: string;
  /** From the first connection to the last reply. */
  readonly seconds: number;
}

/** Beyond the time of a load, for what is under way. */
const GRACE_MS = 30_000;

interface Step {
  readonly send: Buffer | string;
  readonly expect: number;
}

const EHLO: Step = { send: "EHLO client.test\r\n", expect: 250 };
const STARTTLS: Step = { send: "STARTTLS\r\n", expect: 220 };
const QUIT: Step = { send: "QUIT\r\n", expect: 221 };

function transaction(size: number): readonly Step[] {
  const head = "From: bench@client.test\r\nTo: sink@example.org\r\nSubject: bench\r\n\r\n";
  const line = `${"abcdefghij".repeat(8).slice(0, 76)}\r\n`;
  const body = head + line.repeat(Math.ceil(size / line.length));
  const content = `${body.slice(0, size - 2)}`.replace(/\r$/, "x");
  return [
    { send: "MAIL FROM:<bench@client.test>\r\n", expect: 250 },
    { send: "RCPT TO:<sink@example.org>\r\n", expect: 250 },
    { send: "DATA\r\n", expect: 354 },
    { send: Buffer.from(`${content}\r\n.\r\n`, "latin1"), expect: 250 },
  ];
}

/** One connection. `more` says what to do when its steps are done; nothing: it stays as it is. */
class Client {
  #socket: net.Socket;
  #steps: readonly Step[];
  #at = -1;
  #text = "";
  readonly #more: (client: Client) => readonly Step[] | undefined;
  readonly #over: (error: string | undefined) => void;

  constructor(
    { port, secure }: { readonly port: number; readonly secure: boolean },
    more: (client: Client) => readonly Step[] | undefined,
    over: (error: string | undefined) => void,
  ) {
    this.#steps = secure ? [EHLO, STARTTLS, EHLO] : [EHLO];
    this.#more = more;
    this.#over = over;
    this.#socket = net.connect({ port, host: "127.0.0.1", noDelay: true });
    this.#listen(this.#socket);
  }

  close(error?: string): void {
    if (this.#at === Infinity) return;
    this.#at = Infinity;
    this.#socket.destroy();
    this.#over(error);
  }

  #listen(socket: net.Socket): void {
    socket.on("data", (chunk) => this.#read(chunk.toString("latin1")));
    socket.on("error", (error) => this.close(error.message));
    socket.on("close", () => this.close("closed by the server"));
  }

  #read(chunk: string): void {
    this.#text += chunk;
    const text = this.#text;
    if (!text.endsWith("\r\n") || text[text.lastIndexOf("\n", text.length - 2) + 4] !== " ") return;
    this.#text = "";
    const done = this.#at < 0 ? undefined : this.#steps[this.#at];
    if (Number(text.slice(0, 3)) !== (done?.expect ?? 220)) this.close(text.trim());
    else if (done === QUIT) this.close();
    else if (done === STARTTLS) this.#upgrade();
    else this.#next();
  }

  #upgrade(): void {
    const plain = this.#socket;
    plain.removeAllListeners("data").removeAllListeners("close");
    this.#socket = tls.connect({ socket: plain, rejectUnauthorized: false });
    this.#listen(this.#socket);
    this.#socket.once("secureConnect", () => this.#next());
  }

  #next(): void {
    let step = this.#steps[++this.#at];
    if (step === undefined) {
      const more = this.#more(this);
      if (more === undefined) return;
      this.#steps = more;
      this.#at = 0;
      step = more[0]!;
    }
    this.#socket.write(step.send);
  }
}

function load(request: LoadRequest): Promise<DriverAnswer> {
  const message = transaction(request.size);
  const since = performance.now();
  const open = new Set<Client>();
  let begun = 0;
  let done = 0;
  let errors = 0;
  let firstError = "";
  const wanted = () => begun < request.most && performance.now() - since < request.seconds * 1000;
  return new Promise((resolve) => {
    const stop = setTimeout(() => {
      for (const client of open) client.close("no reply in time");
    }, request.seconds * 1000 + GRACE_MS);
    const lane = () => {
      let sent = 0;
      const client = new Client(request, () => {
        if (sent > 0) done++;
        if (sent === request.perConnection || !wanted()) return [QUIT];
        sent++;
        begun++;
        return message;
      }, (error) => {
        open.delete(client);
        if (error !== undefined && ++errors === 1) firstError = error;
        if (error === undefined && wanted()) lane();
        if (open.size > 0) return;
        clearTimeout(stop);
        const seconds = (performance.now() - since) / 1000;
        resolve({ done, errors, error: firstError, seconds });
      });
      open.add(client);
    };
    for (let index = 0; index < request.atOnce; index++) lane();
  });
}

const held = new Set<Client>();

async function idle(request: IdleRequest): Promise<DriverAnswer> {
  const since = performance.now();
  let errors = 0;
  let firstError = "";
  if (request.count === 0) {
    for (const client of [...held]) client.close();
  }
  // Not all at once, which would measure the backlog.
  while (held.size < request.count && errors === 0) {
    const batch = Math.min(50, request.count - held.size);
    await Promise.all(
      Array.from({ length: batch }, () =>
        new Promise<void>((resolve) => {
          const client = new Client(request, () => {
            resolve();
            return undefined;
          }, (error) => {
            held.delete(client);
            if (error !== undefined && ++errors === 1) firstError = error;
            resolve();
          });
          held.add(client);
        })),
    );
  }
  const seconds = (performance.now() - since) / 1000;
  return { done: held.size, errors, error: firstError, seconds };
}

serveParent(
  {},
  (request: LoadRequest | IdleRequest) => request.kind === "load" ? load(request) : idle(request),
);
