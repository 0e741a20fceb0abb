/**
 * What a relay costs at least on a runtime: the same sockets, and nothing read, parsed, decided or logged. The plain port
 * is two pipes. The secure one speaks only the few lines that lead to TLS, and ends TLS itself, as Postern does.
 *
 * One connection to the upstream for each of the client's. Loopback only.
 * @module
 */
import * as net from "node:net";
import * as tls from "node:tls";
import { ownOptions, serveParent } from "./child.ts";

/** Where the reference listens. */
export interface ReferencePorts {
  readonly plain: number;
  readonly secure: number;
}

const { upstream: upstreamPort, cert, key } = ownOptions<
  { readonly upstream: number; readonly cert: string; readonly key: string }
>();
const secureContext = tls.createSecureContext({ cert, key });

function upstream(): net.Socket {
  return net.connect({ port: upstreamPort, host: "127.0.0.1", noDelay: true });
}

function join(left: net.Socket, right: net.Socket): void {
  for (const [from, to] of [[left, right], [right, left]] as const) {
    from.on("error", () => to.destroy());
    from.on("close", () => to.destroy());
    from.pipe(to);
  }
}

function plain(client: net.Socket): void {
  join(client, upstream());
}

function secure(client: net.Socket): void {
  client.on("error", () => client.destroy());
  client.write("220 reference.test ESMTP\r\n");
  client.on("data", function greet(line) {
    if (!line.toString("latin1").startsWith("STARTTLS")) {
      client.write("250-reference.test\r\n250 STARTTLS\r\n");
      return;
    }
    client.off("data", greet);
    // A socket that is left flowing on Deno may read the ClientHello itself, and the handshake hangs.
    client.pause();
    client.write("220 Go ahead\r\n");
    const inner = new tls.TLSSocket(client, { isServer: true, secureContext });
    inner.on("error", () => inner.destroy());
    const outer = upstream();
    outer.on("error", () => inner.destroy());
    // The greeting: the client has had one.
    outer.once("data", () => join(inner, outer));
  });
}

function listen(serve: (client: net.Socket) => void): Promise<number> {
  const server = net.createServer({ noDelay: true }, serve);
  return new Promise((resolve) => {
    server.listen({ port: 0, host: "127.0.0.1", backlog: 4096 }, () => {
      resolve((server.address() as net.AddressInfo).port);
    });
  });
}

const ports: ReferencePorts = { plain: await listen(plain), secure: await listen(secure) };
serveParent(ports, () => ({}));
