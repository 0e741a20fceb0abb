/**
 * A DNS server for tests, over UDP and TCP on one port of 127.0.0.1: what it answers, the test says.
 * @module
 */
import { Buffer } from "node:buffer";
import dgram from "node:dgram";
import { once } from "node:events";
import net from "node:net";
// @ts-types="npm:@types/dns-packet@5.6.5"
import * as codec from "dns-packet";

/** A question that came. */
export interface Asked {
  readonly id: number;
  /** As it was asked, in whatever case. */
  readonly name: string;
  readonly type: string;
  readonly over: "udp" | "tcp";
  readonly edns: boolean;
}

/** Packets to answer with: made by {@linkcode reply} or by hand; none: silence. */
export type Answering = (asked: Asked) => readonly Uint8Array[];

export interface DnsTestServer extends AsyncDisposable {
  readonly host: string;
  readonly port: number;
  /** What was asked, in order, in lower case: `name TYPE udp`. */
  readonly asked: string[];
  answer: Answering;
  /** Resolves with the next question. */
  next(): Promise<Asked>;
}

/** What a reply has. */
export interface ReplyParts {
  readonly rcode?: number;
  readonly flags?: number;
  readonly answers?: codec.Answer[];
  readonly authorities?: codec.Answer[];
  readonly id?: number;
  readonly name?: string;
  readonly questions?: codec.Question[];
}

/** A packet that answers. */
export function reply(asked: Asked, parts: ReplyParts = {}): Uint8Array {
  const packet = codec.encode({
    type: "response",
    id: parts.id ?? asked.id,
    flags: codec.RECURSION_DESIRED | codec.RECURSION_AVAILABLE | (parts.flags ?? 0) |
      (parts.rcode ?? 0),
    questions: parts.questions ??
      [{ name: parts.name ?? asked.name, type: asked.type as codec.RecordType, class: "IN" }],
    answers: parts.answers ?? [],
    authorities: parts.authorities ?? [],
  });
  return Uint8Array.from(packet);
}

/** The authority of a negative answer. */
export function soa(minimum: number, ttl = minimum): codec.Answer {
  const data = { mname: "ns.test", rname: "root.test", serial: 1, minimum };
  return { type: "SOA", name: "test", ttl, data };
}

/** Starts one. */
export async function dnsServer(answer: Answering): Promise<DnsTestServer> {
  const waiting: ((asked: Asked) => void)[] = [];
  const questions = (octets: Buffer, over: Asked["over"]): readonly Uint8Array[] => {
    const { id = 0, questions = [], additionals = [] } = codec.decode(octets);
    const [question] = questions;
    if (question === undefined) return [];
    const edns = additionals.some(({ type }) => type === "OPT");
    const asked = { id, name: question.name, type: question.type, over, edns };
    server.asked.push(`${asked.name.toLowerCase()} ${asked.type} ${over}`);
    waiting.shift()?.(asked);
    return server.answer(asked);
  };
  const tcp = net.createServer((socket) => {
    socket.on("error", () => {});
    socket.on("data", (chunk) => {
      for (const packet of questions(Buffer.from(chunk.subarray(2)), "tcp")) {
        const length = Buffer.alloc(2);
        length.writeUInt16BE(packet.length);
        socket.write(Buffer.concat([length, packet]));
      }
    });
  });
  const { udp, port } = await listen(tcp);
  udp.on("message", (octets, from) => {
    for (const packet of questions(octets, "udp")) udp.send(packet, from.port, from.address);
  });
  const server: DnsTestServer = {
    host: "127.0.0.1",
    port,
    asked: [],
    answer,
    next: () => new Promise((resolve) => waiting.push(resolve)),
    async [Symbol.asyncDispose]() {
      udp.close();
      tcp.close();
      await Promise.resolve();
    },
  };
  return server;
}

/** The same port on both: another program may have the one that TCP was given. */
async function listen(tcp: net.Server): Promise<{ udp: dgram.Socket; port: number }> {
  for (;;) {
    tcp.listen(0, "127.0.0.1");
    await once(tcp, "listening");
    const { port } = tcp.address() as net.AddressInfo;
    const udp = dgram.createSocket("udp4");
    const bound = await new Promise<boolean>((resolve) => {
      udp.once("error", () => resolve(false));
      udp.bind(port, "127.0.0.1", () => resolve(true));
    });
    if (bound) return { udp, port };
    tcp.close();
    await once(tcp, "close");
  }
}
