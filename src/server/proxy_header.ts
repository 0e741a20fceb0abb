/**
 * The PROXY header in front of a session, from peers that are trusted to tell it (R27). A peer that must tell one and does not
 * is cut off without a word.
 * @module
 */
import type { Deadline } from "../transport/deadlines.ts";
import type { Duplex, Endpoint } from "../transport/duplex.ts";
import { ProxyHeaderParser } from "../wire/proxy_protocol.ts";
import type { ServerListener } from "./context.ts";
import type { ServerOptions } from "./server.ts";

/** The ends of the connection as the header tells them. */
export interface ProxiedEnds {
  readonly remote: Endpoint;
  readonly local: Endpoint;
}

/** Reads the header; `done` is told once: the ends and the octets behind it, or nothing when the connection is gone. */
export function readProxyHeader(
  options: ServerOptions,
  listener: ServerListener,
  duplex: Duplex,
  done: (ends: ProxiedEnds | undefined, already: Uint8Array) => void,
): void {
  const { deadlines, log, settings } = options;
  const parser = new ProxyHeaderParser();
  let over = false;
  const finish = (ends: ProxiedEnds | undefined, already: Uint8Array): void => {
    if (over) return;
    over = true;
    deadlines.delete(deadline);
    done(ends, already);
  };
  const refuse = (reason: string): void => {
    log.event("warn", "PROXY header expected", {
      listener: listener.settings.name,
      peer: duplex.remote.address,
      reason,
    });
    duplex.destroy();
    finish(undefined, nothing);
  };
  const deadline: Deadline = {
    at: deadlines.now + settings.timeouts.proxyHeader,
    expired: () => refuse("timed out"),
  };
  deadlines.add(deadline);
  duplex.handle({
    data: (chunk) => {
      const result = parser.feed(chunk);
      if (result === "more") return;
      duplex.pause();
      if (!result.ok) {
        refuse(result.reason);
        return;
      }
      const { source, destination } = result.header;
      finish({ remote: source ?? duplex.remote, local: destination ?? duplex.local }, result.rest);
    },
    end: () => refuse("closed by peer"),
    drain: () => {},
    close: () => finish(undefined, nothing),
  });
  duplex.resume();
}

const nothing = new Uint8Array(0);
