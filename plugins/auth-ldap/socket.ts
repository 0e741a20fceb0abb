/**
 * A connection of `edge.connect` as the socket that ldapts expects, and StartTLS before ldapts sees it (RFC 4511 section
 * 4.14): so TLS, time and tests are those of every other plugin, and a connection that was secured is never opened again
 * without.
 * @module
 */
import { Buffer } from "node:buffer";
import type { Connection, ConnectTls } from "@postern/postern/plugin";

type Listener = (this: LdapSocket, ...given: unknown[]) => void;

/** As much of a socket as ldapts uses. */
export class LdapSocket {
  id?: string;
  readonly connecting = false;
  readonly readyState = "open";
  readonly #connection: Connection;
  readonly #listeners = new Map<string, Map<Listener, Listener>>();
  #destroyed = false;

  constructor(connection: Connection) {
    this.#connection = connection;
    void this.#read();
  }

  on(name: string, listener: Listener): this {
    return this.#add(name, listener, listener);
  }

  once(name: string, listener: Listener): this {
    return this.#add(name, listener, function (...given) {
      this.removeListener(name, listener);
      listener.apply(this, given);
    });
  }

  removeListener(name: string, listener: Listener): this {
    this.#listeners.get(name)?.delete(listener);
    return this;
  }

  removeAllListeners(name: string): this {
    this.#listeners.delete(name);
    return this;
  }

  write(octets: Uint8Array, sent: () => void = () => {}): boolean {
    this.#connection.write(octets).then(sent, () => this.destroy());
    return true;
  }

  end(): void {
    this.#connection.end();
  }

  destroy(): void {
    this.#destroyed = true;
    this.#connection.destroy();
  }

  #add(name: string, listener: Listener, called: Listener): this {
    const all = this.#listeners.get(name) ?? new Map<Listener, Listener>();
    this.#listeners.set(name, all.set(listener, called));
    return this;
  }

  #emit(name: string, ...given: unknown[]): void {
    for (const called of [...this.#listeners.get(name)?.values() ?? []]) called.apply(this, given);
  }

  async #read(): Promise<void> {
    // Listeners are added in the tick that made the socket.
    await Promise.resolve();
    try {
      for await (const { buffer, byteOffset, byteLength } of this.#connection) {
        this.#emit("data", Buffer.from(buffer, byteOffset, byteLength));
      }
    } catch (cause) {
      if (!this.#destroyed) this.#emit("error", cause);
    }
    this.#connection.destroy();
    this.#emit("close");
  }
}

/** The extended request of StartTLS, message 1. */
const REQUEST = Uint8Array.from([
  ...[0x30, 0x1d, 0x02, 0x01, 0x01, 0x77, 0x18, 0x80, 0x16],
  ...new TextEncoder().encode("1.3.6.1.4.1.1466.20037"),
]);
const longestResponse = 4096;

/** Asks for TLS, and starts it. Throws where the server will not. */
export async function startTls(connection: Connection, tls: ConnectTls): Promise<void> {
  await connection.write(REQUEST);
  const [tag, first] = await connection.readExactly(2);
  const length = first! < 0x80 ? first! : await longLength(connection, first! & 0x7f);
  if (tag !== 0x30 || length > longestResponse) throw new Error("The server does not speak LDAP");
  const code = resultOf(await connection.readExactly(length));
  if (code === undefined) throw new Error("The server does not speak LDAP");
  if (code !== 0) throw new Error(`The server refuses StartTLS with code ${code}`);
  await connection.startTls(tls);
}

async function longLength(connection: Connection, octets: number): Promise<number> {
  if (octets < 1 || octets > 4) return Infinity;
  let length = 0;
  for (const octet of await connection.readExactly(octets)) length = length * 256 + octet;
  return length;
}

/** The result code of an extended response to message 1; undefined for anything else. */
function resultOf(body: Uint8Array): number | undefined {
  const [kind, width, id, operation, first = 0] = body;
  if (kind !== 0x02 || width !== 1 || id !== 1 || operation !== 0x78) return undefined;
  const at = 5 + (first < 0x80 ? 0 : first & 0x7f);
  return body[at] === 0x0a && body[at + 1] === 1 ? body[at + 2] : undefined;
}
