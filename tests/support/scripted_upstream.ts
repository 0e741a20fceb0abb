/**
 * A fake SMTP or LMTP server that does what a script says, right or wrong, and remembers what it was told.
 *
 * The language of scripts is in `upstream_script.ts`.
 * @module
 */
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import * as net from "node:net";
import { DotReader, unstuffed } from "./dot_reader.ts";
import { guarded, LineSocket } from "./line_socket.ts";
import {
  fin,
  type Met,
  type Reaction,
  type Script,
  startTls,
  type Step,
  UpstreamConnection,
  type UpstreamEvent,
} from "./upstream_script.ts";

export { endless, fin, raw, rst, startTls, UpstreamConnection } from "./upstream_script.ts";
export type {
  Action,
  Met,
  Reaction,
  ReceivedBody,
  Script,
  Step,
  UpstreamEvent,
} from "./upstream_script.ts";

/** A body whose end came. */
export interface ReceivedMessage {
  /** Arguments of MAIL and RCPT between the angle brackets. */
  readonly from: string;
  readonly to: readonly string[];
  /** Plain form: dots unstuffed. */
  readonly content: Uint8Array;
  readonly sha256: string;
  readonly connection: UpstreamConnection;
  /** A 2xx to the dot was sent (LMTP: to every recipient). */
  acknowledged: boolean;
}

const usualCapabilities = ["PIPELINING", "SIZE 104857600", "8BITMIME", "SMTPUTF8", "DSN"];

const verbs = new Set<string>(
  ["ehlo", "helo", "lhlo", "starttls", "auth", "xclient", "xforward", "mail", "rcpt", "data"]
    .concat(["rset", "noop", "quit"]),
);

/** A running fake server. */
export class ScriptedUpstream implements AsyncDisposable {
  readonly connections: UpstreamConnection[] = [];
  /** Every message whose end of data came, in order. */
  readonly messages: ReceivedMessage[] = [];
  #port = 0;
  readonly #script: Script;
  readonly #server: net.Server;
  readonly #open = new Set<LineSocket>();
  readonly #counts = new Map<UpstreamEvent, number>();
  #waiting: { readonly event: UpstreamEvent; readonly nth: number; resolve(): void }[] = [];
  readonly #running = new Set<Promise<void>>();
  #stopped = false;

  constructor(script: Script) {
    this.#script = script;
    this.#server = net.createServer({ allowHalfOpen: true }, (socket) => {
      const running = this.#serve(socket).finally(() => this.#running.delete(running));
      this.#running.add(running);
    });
  }

  get port(): number {
    return this.#port;
  }

  /** `127.0.0.1:port` */
  get address(): string {
    return `127.0.0.1:${this.#port}`;
  }

  async listen(): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen(0, "127.0.0.1", resolve);
    });
    this.#port = (this.#server.address() as net.AddressInfo).port;
  }

  /** How often an event was met so far. */
  count(event: UpstreamEvent): number {
    return this.#counts.get(event) ?? 0;
  }

  /** Resolves when the event was met `nth` times (over all connections), at once if that was before. */
  waitFor(event: UpstreamEvent, nth = 1): Promise<void> {
    if (this.count(event) >= nth) return Promise.resolve();
    return guarded(
      new Promise<void>((resolve) => this.#waiting.push({ event, nth, resolve })),
      () => `upstream event ${event} number ${nth}\n${this.transcript()}`,
    );
  }

  /** Everything that was said, for the message of a failed test. */
  transcript(): string {
    return this.connections.map((c, i) => `upstream connection ${i}:\n${c.transcript}`).join("\n");
  }

  /** Closes the port and every connection. */
  async stop(): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    const closed = new Promise((resolve) => this.#server.close(resolve));
    for (const io of this.#open) io.destroy();
    await closed;
    await Promise.all(this.#running);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  #tell(event: UpstreamEvent): number {
    const nth = this.count(event) + 1;
    this.#counts.set(event, nth);
    const ready = this.#waiting.filter((wait) => wait.event === event && wait.nth <= nth);
    this.#waiting = this.#waiting.filter((wait) => !ready.includes(wait));
    for (const wait of ready) wait.resolve();
    return nth;
  }

  async #serve(socket: net.Socket): Promise<void> {
    const connection = new UpstreamConnection();
    this.connections.push(connection);
    const io = new LineSocket(socket, connection.transcript);
    this.#open.add(io);
    this.#tell("connect");
    try {
      await this.#converse(io, connection);
    } catch (error) {
      connection.transcript.add("*", String(error));
    } finally {
      connection.ending = io.ending;
      io.destroy();
      this.#open.delete(io);
      this.#tell("close");
    }
  }

  async #converse(io: LineSocket, connection: UpstreamConnection): Promise<void> {
    if (this.#script.proxyHeader) connection.proxyHeader = await readProxyHeader(io);
    if (this.#script.implicitTls) await this.#secure(io, connection);
    let last = await this.#react(io, connection, "banner", "");
    while (last !== "over") {
      const line = await io.next();
      if (line === undefined) return;
      connection.commands.push(line);
      const verb = line.split(/[ :]/, 1)[0]?.toLowerCase() ?? "";
      const step = last.startsWith("334") ? "sasl" : verbs.has(verb) ? verb as Step : "other";
      last = await this.#react(io, connection, step, line);
      if (step === "mail" && last.startsWith("2")) {
        connection.from = path(line);
        connection.to = [];
      } else if (step === "rcpt" && last.startsWith("2")) connection.to.push(path(line));
      else if (step === "data" && last.startsWith("354")) last = await this.#body(io, connection);
    }
  }

  /** Does what the script says at a step; the last reply, or `over` when the connection is. */
  async #react(
    io: LineSocket,
    connection: UpstreamConnection,
    step: Step,
    line: string,
    recipient = "",
  ): Promise<string> {
    const nth = this.#tell(step);
    const reaction = this.#script[step] ?? this.#usual(step, connection);
    return await this.#run(io, connection, reaction, { line, nth, connection, recipient });
  }

  async #run(
    io: LineSocket,
    connection: UpstreamConnection,
    reaction: Reaction,
    met: Met,
  ): Promise<string> {
    const chosen = typeof reaction === "function" ? reaction(met) : reaction;
    let last = "";
    for (const action of Array.isArray(chosen) ? chosen : [chosen]) {
      if (typeof action === "string") {
        last = action;
        await io.write(`${action}\r\n`);
      } else if ("then" in action) await Promise.race([action, io.destroyed]);
      else if (action.act === "raw") {
        last = Buffer.from(action.octets).toString();
        await io.write(action.octets);
      } else if (action.act === "endless") {
        const block = action.octets.repeat(Math.ceil(4096 / action.octets.length));
        while (io.ending === undefined) {
          await io.write(block);
          // A write that the kernel takes at once gives nobody else a turn.
          await new Promise((resolve) => setImmediate(resolve));
        }
        return "over";
      } else if (action.act === "starttls") await this.#secure(io, connection);
      else {
        if (action.act === "rst") await io.reset();
        else {
          await io.end();
          // Octets that nobody reads would turn the FIN into a reset.
          while (await io.chunk() !== undefined);
        }
        return "over";
      }
    }
    return last;
  }

  async #secure(io: LineSocket, connection: UpstreamConnection): Promise<void> {
    if (this.#script.tls === undefined) throw new Error("the script has no certificate");
    connection.behindStartTls += io.peek();
    await io.upgradeServer(this.#script.tls);
    connection.secure = true;
    this.#tell("tls");
  }

  async #body(io: LineSocket, connection: UpstreamConnection): Promise<string> {
    this.#tell("body");
    const { from, to } = connection;
    const kept: Uint8Array[] = [];
    const hash = createHash("sha256");
    const reader = new DotReader((octets) => {
      hash.update(octets);
      if (this.#script.keep !== false) kept.push(octets);
    });
    const script = this.#script.body;
    let due = script !== undefined;
    let over = false;
    try {
      while (!reader.done && !over) {
        if (due && script !== undefined && reader.seen >= script.after) {
          due = false;
          const met = { line: "", nth: this.count("body"), connection, recipient: "" };
          over = await this.#run(io, connection, script.then, met) === "over";
          continue;
        }
        const chunk = await io.chunk();
        if (chunk === undefined) return "over";
        const rest = reader.push(chunk);
        if (rest !== undefined) io.unshift(rest);
      }
      if (over) return "over";
    } finally {
      const sha256 = hash.digest("hex");
      const octets = reader.octets;
      const raw = Buffer.concat(kept);
      connection.bodies.push({ from, to, raw, octets, sha256, dot: reader.done });
    }
    const body = connection.bodies.at(-1);
    const message: ReceivedMessage = {
      from,
      to,
      content: unstuffed(body?.raw ?? new Uint8Array(0)),
      sha256: body?.sha256 ?? "",
      connection,
      acknowledged: false,
    };
    this.messages.push(message);
    const replies: string[] = [];
    for (const recipient of this.#script.lmtp ? to : [""]) {
      replies.push(await this.#react(io, connection, "dot", "", recipient));
      if (replies.at(-1) === "over") return "over";
    }
    message.acknowledged = replies.every((reply) => /^2\d\d/.test(reply));
    connection.from = "";
    connection.to = [];
    return "";
  }

  #usual(step: Step, connection: UpstreamConnection): Reaction {
    switch (step) {
      case "banner":
        return "220 upstream.test ESMTP";
      case "ehlo":
      case "lhlo": {
        const keywords = [...this.#script.capabilities ?? usualCapabilities];
        if (this.#script.tls !== undefined && !connection.secure) keywords.push("STARTTLS");
        const lines = ["upstream.test", ...keywords];
        return lines.map((text, i) => `250${i === lines.length - 1 ? " " : "-"}${text}`)
          .join("\r\n");
      }
      case "helo":
        return "250 upstream.test";
      case "starttls":
        if (this.#script.tls === undefined) return "502 5.5.1 not here";
        return ["220 2.0.0 go ahead", startTls()];
      case "auth":
      case "sasl":
        return "235 2.7.0 welcome";
      case "xclient":
        return "220 upstream.test ESMTP";
      case "mail":
        return "250 2.1.0 sender ok";
      case "rcpt":
        return "250 2.1.5 recipient ok";
      case "data":
        return connection.to.length === 0 ? "503 5.5.1 no recipients" : "354 go ahead";
      case "quit":
        return ["221 2.0.0 bye", fin()];
      case "dot":
      case "xforward":
      case "rset":
      case "noop":
        return "250 2.0.0 ok";
      case "other":
        return "500 5.5.2 unknown";
    }
  }
}

/** Starts a fake server on a port of its own. */
export async function scriptedUpstream(script: Script = {}): Promise<ScriptedUpstream> {
  const upstream = new ScriptedUpstream(script);
  await upstream.listen();
  return upstream;
}

/** What is between the outermost angle brackets. */
function path(line: string): string {
  return /<(.*)>/.exec(line)?.[1] ?? "";
}

const proxyV2 = Buffer.from("\r\n\r\n\0\r\nQUIT\n", "latin1");

/** The octets of a PROXY header, v1 or v2. */
async function readProxyHeader(io: LineSocket): Promise<Uint8Array | undefined> {
  return await io.take((all) => {
    if (all.length < proxyV2.length) return undefined;
    if (all.subarray(0, proxyV2.length).equals(proxyV2)) {
      return all.length < 16 || all.length < 16 + all.readUInt16BE(14)
        ? undefined
        : 16 + all.readUInt16BE(14);
    }
    const at = all.indexOf("\r\n");
    return at < 0 ? undefined : at + 2;
  }, "a PROXY header");
}
