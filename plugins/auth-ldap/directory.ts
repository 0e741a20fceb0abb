/**
 * A directory server: one connection that searches for everybody, and a few on which users are bound, one at a time.
 *
 * Owns: the connections, and which may be used again. Never: binds without a name or a password, which a directory takes
 * for an anonymous bind and answers with success (RFC 4513 section 5.1).
 * @module
 */
import type { ConnectAddress, ConnectTls, Edge } from "@postern/postern/plugin";
import { Client, ResultCodeError } from "ldapts";
import { permits } from "../shared/permits.ts";
import { LdapSocket, startTls } from "./socket.ts";

/** Where the directory is, and how it is reached. */
export interface DirectoryServer {
  readonly address: ConnectAddress;
  /** TLS from the first octet. */
  readonly implicit: boolean;
  /** Undefined: none. */
  readonly tls: ConnectTls | undefined;
}

/** Who searches. */
export interface Account {
  readonly dn: string;
  readonly password: string;
}

/** One entry that was found. */
export interface Entry {
  readonly dn: string;
  readonly name: string | undefined;
}

/** What to look for. */
export interface Search {
  readonly base: string;
  readonly filter: string;
  /** Attribute whose value is the login's name. */
  readonly name: string | undefined;
}

/** RFC 4511 appendix A: no such object, invalid DN, inappropriate authentication, invalid credentials, constraint violation. */
const wrongLogin: ReadonlySet<number> = new Set([32, 34, 48, 49, 19]);
const sizeLimitExceeded = 4;

/** The directory. */
export class Directory {
  readonly #edge: Edge;
  readonly #server: DirectoryServer;
  readonly #account: Account | undefined;
  readonly #inTurn: ReturnType<typeof permits>;
  readonly #idle: Line[] = [];
  #searcher: Line | undefined;

  constructor(
    edge: Edge,
    server: DirectoryServer,
    options: { readonly account: Account | undefined; readonly connections: number },
  ) {
    this.#edge = edge;
    this.#server = server;
    this.#account = options.account;
    this.#inTurn = permits(options.connections);
  }

  /** The entries, two at most: more than one is one too many. */
  async search(search: Search, signal: AbortSignal): Promise<readonly Entry[]> {
    for (let again = false;; again = true) {
      const fresh = this.#searcher?.open !== true;
      const line = fresh ? this.#searcher = new Line(this.#edge, this.#server) : this.#searcher!;
      if (fresh) line.prepare((client) => this.#introduce(client));
      try {
        return await line.run(signal, (client) => found(client, search), isGone);
      } catch (cause) {
        // It was closed while nobody asked: that is no fault of this login.
        if (again || fresh || line.open || signal.aborted) throw cause;
      }
    }
  }

  /** Whether the password is this entry's. */
  async bind(dn: string, password: string, signal: AbortSignal): Promise<boolean> {
    if (password === "" || !dn.includes("=")) {
      throw new Error("Cannot bind without a name or password");
    }
    return await this.#inTurn(signal, async () => {
      for (;;) {
        let line = this.#idle.pop();
        while (line !== undefined && !line.open) line = this.#idle.pop();
        const fresh = line === undefined;
        line ??= new Line(this.#edge, this.#server);
        try {
          // Cut off in a bind, nobody knows as whom the connection goes on: it does not.
          const right = await line.run(
            signal,
            (client) => bound(client, dn, password),
            () => false,
          );
          this.#idle.push(line);
          return right;
        } catch (cause) {
          const closed = !line.open;
          line.close();
          if (fresh || !closed || signal.aborted) throw cause;
        }
      }
    });
  }

  /** Ends every connection that is not in use. */
  close(): void {
    this.#searcher?.close();
    for (const line of this.#idle.splice(0)) line.close();
  }

  async #introduce(client: Client): Promise<void> {
    if (this.#account === undefined) return;
    const { dn, password } = this.#account;
    if (!await bound(client, dn, password)) {
      throw new Error("The directory refuses the account that searches");
    }
  }
}

/** A client that goes away leaves a connection that others use as it is; one over its budget says that it hangs. */
function isGone(reason: unknown): boolean {
  return (reason as { readonly name?: unknown } | undefined)?.name === "AbortError";
}

/** One connection. ldapts would open another one by itself, without TLS and as nobody: it is not let. */
class Line {
  open = true;
  readonly #cut = new AbortController();
  #ready: Promise<Client>;

  constructor(edge: Edge, server: DirectoryServer) {
    this.#ready = this.#connect(edge, server);
    this.#ready.catch(() => this.close());
  }

  /** Something to do before the connection is used. */
  prepare(what: (client: Client) => Promise<void>): void {
    this.#ready = this.#ready.then(async (client) => {
      await what(client);
      return client;
    });
    this.#ready.catch(() => this.close());
  }

  /** Runs with the connection; when the signal ends it, the connection ends too unless `spare` says otherwise. */
  async run<T>(
    signal: AbortSignal,
    what: (client: Client) => Promise<T>,
    spare: (reason: unknown) => boolean,
  ): Promise<T> {
    signal.throwIfAborted();
    const { promise: cut, reject } = Promise.withResolvers<never>();
    const abort = (): void => {
      reject(signal.reason);
      if (!spare(signal.reason)) this.close();
    };
    signal.addEventListener("abort", abort, { once: true });
    try {
      return await Promise.race([this.#ready.then(what), cut]);
    } finally {
      signal.removeEventListener("abort", abort);
    }
  }

  close(): void {
    this.open = false;
    this.#cut.abort(new Error("The connection to the directory was given up"));
  }

  async #connect(edge: Edge, { address, implicit, tls }: DirectoryServer): Promise<Client> {
    const connection = await edge.connect(address, {
      signal: this.#cut.signal,
      tls: implicit ? tls ?? true : false,
    });
    if (!implicit && tls !== undefined) await startTls(connection, tls);
    let socket: LdapSocket | undefined = new LdapSocket(connection);
    socket.on("close", () => {
      this.open = false;
    });
    return new Client({
      url: "ldap://directory.invalid",
      strictDN: false,
      createConnection: () => {
        const first = socket;
        socket = undefined;
        if (first === undefined) throw new Error("The directory closed the connection");
        return first as never;
      },
    });
  }
}

async function bound(client: Client, dn: string, password: string): Promise<boolean> {
  try {
    await client.bind(dn, password);
    return true;
  } catch (cause) {
    if (cause instanceof ResultCodeError && wrongLogin.has(cause.code)) return false;
    throw described(cause);
  }
}

async function found(client: Client, { base, filter, name }: Search): Promise<readonly Entry[]> {
  try {
    const { searchEntries } = await client.search(base, {
      filter,
      scope: "sub",
      sizeLimit: 2,
      // RFC 4511 section 4.5.1.8: no attributes.
      attributes: [name ?? "1.1"],
    });
    return searchEntries.map((entry) => ({ dn: entry.dn, name: nameOf(entry, name) }));
  } catch (cause) {
    if (!(cause instanceof ResultCodeError) || cause.code !== sizeLimitExceeded) {
      throw described(cause);
    }
    return [{ dn: "", name: undefined }, { dn: "", name: undefined }];
  }
}

/** A result by its code: the text is the server's, who has just been told a password. */
function described(cause: unknown): unknown {
  return cause instanceof ResultCodeError
    ? new Error(`The directory answered ${cause.name} (${cause.code})`)
    : cause;
}

/** The first value; attribute names differ in case from server to server. */
function nameOf(entry: object, name: string | undefined): string | undefined {
  if (name === undefined) return undefined;
  const [, value] =
    Object.entries(entry).find(([key]) => key.toLowerCase() === name.toLowerCase()) ?? [];
  const first: unknown = Array.isArray(value) ? value[0] : value;
  return typeof first === "string" && first !== "" ? first : undefined;
}
