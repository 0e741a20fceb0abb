/**
 * A network that can be watched: what is said on a connection, as a dialogue without secrets, and why it broke.
 *
 * Owns: the state that tells a command from an answer to a challenge and from content.
 * Never: shows a credential or content (R18), changes an octet.
 * @module
 */
import { redact } from "../../session/transcript.ts";
import type { Duplex, Network, TlsClientOptions, TransportError } from "../../transport/duplex.ts";
import { printable } from "../../wire/printable.ts";

/** Who is told. */
export interface Watcher {
  /** One line of a dialogue: `C: EHLO ...`, `S: 250 ...`, `# ...`. */
  readonly line: (text: string) => void;
  /** A connection or a handshake failed. */
  readonly broke: (error: TransportError) => void;
}

/** The same network, with every connection that is opened through it watched. */
export function watchedNetwork(inner: Network, watcher: Watcher): Network {
  return {
    ...inner,
    connect: (address, options, done) =>
      inner.connect(address, options, (result) => {
        if ("error" in result) {
          watcher.broke(result.error);
          done(result);
          return;
        }
        const { remote } = result;
        const where = remote.port === 0 ? remote.address : `${remote.address} port ${remote.port}`;
        watcher.line(`# connected to ${where}${tlsNote(result)}`);
        done(new WatchedDuplex(result, watcher));
      }),
  };
}

function tlsNote({ tls }: Duplex): string {
  return tls === undefined ? "" : `, ${tls.version} ${tls.cipher}`;
}

/** What the client's octets are, by what the server said last. */
type Expected = "commands" | "secret" | "content";

class WatchedDuplex implements Duplex {
  readonly #inner: Duplex;
  readonly #watcher: Watcher;
  readonly #decoder = new TextDecoder();
  #expected: Expected = "commands";
  /** Octets of content so far. */
  #content = 0;
  /** A reply line whose end has not come yet. */
  #half = "";

  constructor(inner: Duplex, watcher: Watcher) {
    this.#inner = inner;
    this.#watcher = watcher;
  }

  get remote(): Duplex["remote"] {
    return this.#inner.remote;
  }
  get local(): Duplex["local"] {
    return this.#inner.local;
  }
  get tls(): Duplex["tls"] {
    return this.#inner.tls;
  }
  get pending(): number {
    return this.#inner.pending;
  }

  handle(handlers: Parameters<Duplex["handle"]>[0]): void {
    this.#inner.handle({
      ...handlers,
      data: (chunk) => {
        this.#heard(chunk);
        handlers.data(chunk);
      },
      close: (error) => {
        if (error !== undefined) this.#watcher.broke(error);
        handlers.close(error);
      },
      end: () => handlers.end(),
      drain: () => handlers.drain(),
    });
  }

  write(data: Uint8Array | string): boolean {
    this.#said(data);
    return this.#inner.write(data);
  }
  pause(): void {
    this.#inner.pause();
  }
  resume(): void {
    this.#inner.resume();
  }
  upgradeServer(...args: Parameters<Duplex["upgradeServer"]>): void {
    this.#inner.upgradeServer(...args);
  }

  upgradeClient(
    options: TlsClientOptions,
    done: (error: TransportError | undefined) => void,
  ): void {
    this.#inner.upgradeClient(options, (error) => {
      if (error === undefined) this.#watcher.line(`# TLS is up${tlsNote(this.#inner)}`);
      else {
        this.#watcher.line(`# TLS failed: ${error.message}`);
        this.#watcher.broke(error);
      }
      done(error);
    });
  }

  end(): void {
    this.#inner.end();
  }
  destroy(reset?: boolean): void {
    this.#inner.destroy(reset);
  }

  #said(data: Uint8Array | string): void {
    if (this.#expected === "content") {
      this.#content += typeof data === "string"
        ? new TextEncoder().encode(data).length
        : data.length;
      return;
    }
    const text = typeof data === "string" ? data : new TextDecoder().decode(data);
    for (const line of text.replace(/\r\n$/, "").split("\r\n")) {
      this.#watcher.line(`C: ${this.#expected === "secret" ? "***" : redact(line)}`);
    }
  }

  #heard(chunk: Uint8Array): void {
    const lines = (this.#half + this.#decoder.decode(chunk, { stream: true })).split("\r\n");
    // A server that never ends its line is cut off by the reply parser; what is kept here is bounded all the same.
    this.#half = (lines.pop() ?? "").slice(0, 4096);
    for (const line of lines) {
      if (this.#expected === "content") {
        this.#watcher.line(`# ${this.#content} octets of content, with the final dot`);
        this.#content = 0;
      }
      this.#watcher.line(`S: ${printable(line, 512)}`);
      this.#expected = line.startsWith("334")
        ? "secret"
        : line.startsWith("354")
        ? "content"
        : "commands";
    }
  }
}
