/**
 * Everything between two ends: a Postern with a listener for each way of coming in and an upstream for each way of going
 * out, certificates that both sides verify, and the comparison of what was sent with what arrived.
 * @module
 */
import * as fs from "node:fs";
import * as path from "node:path";
import { testChain } from "../support/certificates.ts";
import {
  ownRuntime,
  type PosternProcess,
  type PosternRuntime,
  servePostern,
  tempHome,
} from "../support/postern_process.ts";
import {
  type Kind,
  kindOf,
  makeMessage,
  type Message,
  sha256,
  traceOf,
  withoutTrace,
} from "./messages.ts";
import { sendPlain } from "./plain_client.ts";
import { type RunningUpstream, UPSTREAMS, type Way } from "./upstreams.ts";

/** Ways of coming in. */
export const TRANSPORTS = ["plain", "STARTTLS", "implicit TLS"] as const;
export type Transport = typeof TRANSPORTS[number];

/** One listener, as a client is told of it. */
export interface Entrance {
  /** `starttls-auth` */
  readonly name: string;
  readonly transport: Transport;
  readonly port: number;
  /** MAIL is refused without this login. */
  readonly auth: { readonly user: string; readonly password: string } | undefined;
  /** File with the authority of the certificate, which is for `localhost` and 127.0.0.1. */
  readonly caFile: string;
}

const LOGIN = { user: "alice@example.org", password: "open sesame" };
/** Its bcrypt hash, of the lowest cost. */
const LOGIN_HASH = "$2b$04$BQYzDX9ZoWPh.30eNwsFFu/5HNvwhzas7KLUH/PBpeyx6a3cfJCDy";

const LISTENERS: readonly {
  readonly name: string;
  readonly transport: Transport;
  readonly toml: string;
}[] = [
  { name: "plain", transport: "plain", toml: 'tls = "none"' },
  { name: "starttls", transport: "STARTTLS", toml: 'tls = "starttls"\nrequire_tls = true' },
  { name: "implicit", transport: "implicit TLS", toml: 'tls = "implicit"' },
];

/** Names of the entrances. */
export const ENTRANCES = LISTENERS.flatMap(({ name }) => [name, `${name}-auth`]);

/** A Postern between its upstreams and whoever comes in. */
export class Stage implements AsyncDisposable {
  readonly dir: string;
  readonly postern: PosternProcess;
  readonly entrances: readonly Entrance[];
  readonly ways: ReadonlyMap<string, Way>;
  /** Servers by the name of their row. */
  readonly upstreams: ReadonlyMap<string, RunningUpstream>;
  readonly #parts: AsyncDisposableStack;

  private constructor(parts: AsyncDisposableStack, made: {
    readonly dir: string;
    readonly postern: PosternProcess;
    readonly entrances: readonly Entrance[];
    readonly upstreams: ReadonlyMap<string, RunningUpstream>;
  }) {
    this.#parts = parts;
    this.dir = made.dir;
    this.postern = made.postern;
    this.entrances = made.entrances;
    this.upstreams = made.upstreams;
    this.ways = new Map(
      [...made.upstreams.values()].flatMap(({ ways }) => ways.map((way) => [way.name, way])),
    );
  }

  /** Starts the upstreams with these names that can be started here, and Postern before them. */
  static async open(names: readonly string[], at: PosternRuntime = ownRuntime): Promise<Stage> {
    const parts = new AsyncDisposableStack();
    try {
      const { path: dir } = parts.use(
        await tempHome({ "users.txt": `${LOGIN.user}:${LOGIN_HASH}\n` }),
      );
      const { ca, leaf } = await testChain(["localhost", "127.0.0.1"]);
      const caFile = path.join(dir, "ca.pem");
      fs.writeFileSync(caFile, ca.cert);
      fs.writeFileSync(path.join(dir, "cert.pem"), leaf.cert);
      fs.writeFileSync(path.join(dir, "key.pem"), leaf.key);
      const upstreams = new Map<string, RunningUpstream>();
      for (const name of names) {
        const upstream = UPSTREAMS.get(name);
        if (upstream === undefined) throw new Error(`There is no upstream ${name}`);
        if (upstream.missing() !== undefined) continue;
        upstreams.set(name, parts.use(await upstream.start({ dir, leaf, caFile })));
      }
      const ways = [...upstreams.values()].flatMap((upstream) => upstream.ways);
      const postern = parts.use(await servePostern(dir, configuration(ways), at));
      const entrances = LISTENERS.flatMap(({ name, transport }) => [
        { name, transport, port: postern.port(name), auth: undefined, caFile },
        {
          name: `${name}-auth`,
          transport,
          port: postern.port(`${name}-auth`),
          auth: LOGIN,
          caFile,
        },
      ]);
      return new Stage(parts, { dir, postern, entrances, upstreams });
    } catch (error) {
      await parts.disposeAsync();
      throw error;
    }
  }

  /** The entrance with this name. */
  entrance(name: string): Entrance {
    const found = this.entrances.find((each) => each.name === name);
    if (found === undefined) throw new Error(`There is no entrance ${name}`);
    return found;
  }

  /** What to send over a way. */
  message(kind: Kind, way: string): Message {
    return makeMessage(kind, `${way}.test`);
  }

  /**
   * Waits for a message that was sent over a way; its trace. Fails unless exactly one has arrived with the octets that
   * were sent.
   */
  async arrived(message: Message, way: string): Promise<string> {
    const found = this.ways.get(way);
    if (found === undefined) throw new Error(`There is no way ${way}`);
    const [first, ...more] = await found.inbox.wait(message.id, () => this.logs());
    if (first === undefined || more.length > 0) {
      throw new Error(`${message.id} arrived ${more.length + 1} times`);
    }
    const content = withoutTrace(first);
    if (sha256(content) !== sha256(message.content)) {
      throw new Error(`${message.id} has changed: ${difference(message.content, content)}`);
    }
    return traceOf(first);
  }

  /** Sends from 127.0.0.2 over a way that tells Postfix who the client is; fails unless Postfix knows. */
  async tellsClient(way: string): Promise<void> {
    const address = "127.0.0.2";
    const message = this.message(kindOf("1 KiB"), way);
    await sendPlain(message, this.entrance("plain").port, { localAddress: address });
    const trace = await this.arrived(message, way);
    // XFORWARD is for the log alone; the others make it the client, also for the trace.
    const log = this.upstreams.get("Postfix")?.log() ?? "";
    const known = way === "xforward"
      ? log.includes(`orig_client=${address}[${address}]`) ||
        log.includes(`orig_client=unknown[${address}]`)
      : trace.includes(`[${address}]) by postfix.example.net`);
    if (!known) throw new Error(`Postfix does not know the client\n${trace}\n${log}`);
  }

  /** What everybody has logged. */
  logs(): string {
    const servers = [...this.upstreams].map(([name, upstream]) =>
      `${name}:\n${upstream.log().slice(-3000)}`
    );
    return [`Postern:\n${this.postern.stderr.slice(-3000)}`, ...servers].join("\n");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#parts.disposeAsync();
  }
}

function configuration(ways: readonly Way[]): string {
  const listeners = LISTENERS.flatMap(({ name, toml }) => [
    `[[listeners]]\nname = "${name}"\nlisten = "127.0.0.1:0"\n${toml}`,
    `[[listeners]]\nname = "${name}-auth"\nlisten = "127.0.0.1:0"\n${toml}\nauth = "required"` +
    "\nauth_plaintext_loopback = true",
  ]);
  return [
    'hostname = "mx.example.org"\ndata_dir = "data"',
    ...listeners,
    '[tls]\ncertificates = [{ cert = "cert.pem", key = "key.pem" }]',
    ...ways.map(({ name, toml }) => `[upstreams.${name}]\n${toml}`),
    ...ways.map(({ name }) => `[[routes]]\nto = ["${name}.test"]\nupstream = "${name}"`),
    '[[plugins]]\nuse = "auth-file"\noptions = { users = "users.txt" }',
    "",
  ].join("\n\n");
}

/** Where two contents part, in words. */
function difference(sent: Uint8Array, arrived: Uint8Array): string {
  let at = 0;
  while (at < sent.length && sent[at] === arrived[at]) at++;
  const show = (octets: Uint8Array) =>
    JSON.stringify(
      new TextDecoder("latin1").decode(octets.subarray(Math.max(0, at - 40), at + 40)),
    );
  return `${sent.length} octets sent, ${arrived.length} arrived, different from octet ${at}: ` +
    `sent ${show(sent)}, arrived ${show(arrived)}`;
}
