/**
 * Runs a dialogue against a server on real sockets, or with the client on a network in memory.
 * @module
 */
import assert from "node:assert/strict";
import * as net from "node:net";
import { dialogueConfig } from "../../src/testing/dialogue/config.ts";
import type { Dialogue } from "../../src/testing/dialogue/parse.ts";
import { playDialogue } from "../../src/testing/dialogue/play.ts";
import { DialogueUpstream } from "../../src/testing/dialogue/upstream.ts";
import type { Network } from "../../src/transport/duplex.ts";
import { testIdentity } from "./certificates.ts";
import { guardTime, LineSocket } from "./line_socket.ts";
import { SmtpClient } from "./smtp_client.ts";

/** A running server. */
export interface RunningPostern {
  /** The port of a listener. */
  port(name: string): number;
  stop(): Promise<void>;
}

/** How a dialogue is run. */
export interface DialogueOptions {
  /** Starts a server with this configuration. */
  readonly start: (toml: string) => Promise<RunningPostern>;
  /** Octets that a write of the client carries at most. */
  readonly split?: number;
  /** `tls`: the listener speaks TLS from the first octet. */
  readonly transport?: "tcp" | "tls";
  /** The client's side is on a network in memory, the same that `start` listens on. */
  readonly network?: Network;
}

/** Runs a dialogue. Throws with file, line and both transcripts. */
export async function runDialogue(dialogue: Dialogue, options: DialogueOptions): Promise<void> {
  const upstream = new DialogueUpstream(dialogue, {
    secure: async (io) => {
      if (io instanceof LineSocket) {
        await io.upgradeServer(await testIdentity(["localhost", "127.0.0.1"]));
      }
    },
    patience: guardTime,
  });
  const listening = await listen((socket) =>
    upstream.accept(new LineSocket(socket, upstream.transcript))
  );
  try {
    const { toml, capabilities, dns } = dialogueConfig(dialogue, {
      upstreamPort: listening.port,
      implicitTls: options.transport === "tls",
    });
    assert.deepEqual(dns, {}, "names are for dialogues that the kit runs");
    upstream.capabilities = capabilities;
    const server = await options.start(toml);
    try {
      await playDialogue(dialogue, {
        upstream,
        connect: async () => (await connected(server.port("mx"), options)).io,
      });
    } finally {
      await server.stop();
    }
  } finally {
    const closed = listening.close();
    await upstream.stop();
    await closed;
  }
}

function connected(
  port: number,
  { split, transport, network }: DialogueOptions,
): Promise<SmtpClient> {
  return SmtpClient.connect(port, {
    ...(split === undefined ? {} : { split }),
    ...(transport === "tls" ? { tls: true } : {}),
    ...(network === undefined ? {} : { network }),
  });
}

async function listen(accept: (socket: net.Socket) => void) {
  const server = net.createServer({ allowHalfOpen: true }, accept);
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });
  return {
    port: (server.address() as net.AddressInfo).port,
    close: () => new Promise((resolve) => server.close(resolve)),
  };
}
