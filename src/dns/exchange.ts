/**
 * One question to one server: over UDP from a port of its own, over TCP where the answer is truncated or doubtful.
 *
 * Owns: the sockets, for as long as the question lasts.   Never: believes an answer from another address, with another id or
 * to another question; throws.   Sources: RFC 5452 (forged answers), RFC 7766 (TCP).
 * @module
 */
import { Buffer } from "node:buffer";
import dgram from "node:dgram";
import net from "node:net";
import type { DnsFailed, DnsType } from "../plugin/dns.ts";
import { formatIp, parseIPv6 } from "../wire/ip.ts";
import { failed } from "./answer.ts";
import { makeQuery, type Query, readPacket, type Response } from "./packet.ts";

/** A server: its address, never a name, and its port. */
export interface DnsServer {
  readonly host: string;
  readonly port: number;
}

/** So many packets that are no answer mean that somebody guesses: what counts then is TCP. */
const STRAYS_LIMIT = 20;

/** Asks. The signal ends it: `timeout`. */
export async function askServer(
  server: DnsServer,
  name: string,
  type: DnsType,
  signal: AbortSignal,
): Promise<Response | DnsFailed> {
  const first = await askOnce(server, makeQuery(name, type, true), signal);
  // A server from before EDNS says so (RFC 6891 section 7).
  return "rcode" in first && (first.rcode === "FORMERR" || first.rcode === "NOTIMP")
    ? await askOnce(server, makeQuery(name, type, false), signal)
    : first;
}

async function askOnce(
  server: DnsServer,
  query: Query,
  signal: AbortSignal,
): Promise<Response | DnsFailed> {
  const answer = await overUdp(server, query, signal);
  return answer === "ask-tcp" ? await overTcp(server, query, signal) : answer;
}

function overUdp(
  server: DnsServer,
  query: Query,
  signal: AbortSignal,
): Promise<Response | DnsFailed | "ask-tcp"> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve(timedOut(server));
    const family = server.host.includes(":") ? 6 : 4;
    const socket = dgram.createSocket({
      type: `udp${family}`,
      // Addresses need no lookup; and what a permission denies is thrown here and now, not out of reach.
      lookup: (host: string, _: unknown, done: (e: null, host: string, family: number) => void) =>
        done(null, host, family),
    });
    let strays = 0;
    const end = (outcome: Response | DnsFailed | "ask-tcp"): void => {
      signal.removeEventListener("abort", aborted);
      resolve(outcome);
      try {
        socket.close();
      } catch {
        // It was not open yet, or an error has closed it.
      }
    };
    const aborted = (): void => end(timedOut(server));
    signal.addEventListener("abort", aborted);
    socket.on("error", (error) => end(unreachable(server, error)));
    socket.on("message", (octets, from) => {
      const own = from.port === server.port && sameHost(from.address, server.host);
      const reading = own ? readPacket(octets, query) : { kind: "foreign" } as const;
      if (reading.kind === "response") end(reading.exact ? reading.response : "ask-tcp");
      else if (reading.kind === "truncated" || ++strays >= STRAYS_LIMIT) end("ask-tcp");
    });
    try {
      socket.bind({ port: 0, address: family === 6 ? "::" : "0.0.0.0", exclusive: true }, () => {
        try {
          socket.send(query.octets, server.port, server.host, (error) => {
            if (error) end(unreachable(server, error));
          });
        } catch (error) {
          end(unreachable(server, error));
        }
      });
    } catch (error) {
      end(unreachable(server, error));
    }
  });
}

function overTcp(
  server: DnsServer,
  query: Query,
  signal: AbortSignal,
): Promise<Response | DnsFailed> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve(timedOut(server));
    const received = Buffer.alloc(2 + 0xffff);
    let filled = 0;
    let socket: net.Socket | undefined;
    const end = (outcome: Response | DnsFailed): void => {
      signal.removeEventListener("abort", aborted);
      resolve(outcome);
      socket?.destroy();
    };
    const aborted = (): void => end(timedOut(server));
    signal.addEventListener("abort", aborted);
    try {
      socket = net.connect(server.port, server.host);
    } catch (error) {
      return end(unreachable(server, error));
    }
    socket.on("error", (error) => end(unreachable(server, error)));
    socket.on("close", () => end(unreachable(server, "it closed the connection")));
    socket.on("connect", () => {
      const length = Buffer.alloc(2);
      length.writeUInt16BE(query.octets.length);
      socket.write(Buffer.concat([length, query.octets]));
    });
    socket.on("data", (chunk) => {
      filled += chunk.copy(received, filled);
      if (filled < 2 || filled < 2 + received.readUInt16BE(0)) return;
      const reading = readPacket(received.subarray(2, 2 + received.readUInt16BE(0)), query);
      // Nobody on the side can write into a connection: a server that changes the case of the name is only an old one.
      if (reading.kind === "response") end(reading.response);
      else end(failed("malformed", `${show(server)} answered what is no answer`));
    });
  });
}

/** The runtimes write IPv6 addresses in forms of their own, and the zone of a link-local one or not. */
function sameHost(one: string, other: string): boolean {
  if (one === other) return true;
  const [a, b] = [one, other].map((host) => parseIPv6(host.replace(/%.*$/, "")));
  return a !== undefined && b !== undefined && formatIp(a) === formatIp(b);
}

function timedOut(server: DnsServer): DnsFailed {
  return failed("timeout", `${show(server)} did not answer in time`);
}

function unreachable(server: DnsServer, cause: unknown): DnsFailed {
  const why = cause instanceof Error ? cause.message : String(cause);
  return failed("unreachable", `${show(server)} cannot be asked: ${why}`);
}

function show({ host, port }: DnsServer): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}
