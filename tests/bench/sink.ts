/**
 * The upstream of a bench: a process that takes every message, keeps none and counts.
 *
 * It answers a request with a {@linkcode SinkCount}. Loopback only.
 * @module
 */
import * as net from "node:net";
import { serveParent } from "./child.ts";

/** What has come since the start. */
export interface SinkCount {
  readonly messages: number;
  readonly connections: number;
  /** Of the bodies, in wire form, without the terminator. */
  readonly octets: number;
}

const EHLO =
  "250-sink.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 SIZE 104857600\r\n";
const TERMINATOR = "\r\n.\r\n";

const count = { messages: 0, connections: 0, octets: 0 };

function serve(socket: net.Socket): void {
  count.connections++;
  // Strings of one byte a character: both runtimes search them fast.
  socket.setEncoding("latin1");
  let inData = false;
  let text = "";
  socket.on("error", () => socket.destroy());
  socket.on("data", (chunk: string) => {
    text += chunk;
    let replies = "";
    for (;;) {
      if (inData) {
        const end = text.indexOf(TERMINATOR);
        const passed = end < 0 ? Math.max(0, text.length - TERMINATOR.length + 1) : end;
        count.octets += passed;
        text = text.slice(end < 0 ? passed : end + TERMINATOR.length);
        if (end < 0) break;
        count.messages++;
        inData = false;
        replies += "250 2.0.0 Taken\r\n";
        continue;
      }
      const end = text.indexOf("\r\n");
      if (end < 0) break;
      const verb = text.slice(0, 4).toUpperCase();
      text = text.slice(end + 2);
      if (verb === "EHLO") replies += EHLO;
      else if (verb === "DATA") {
        replies += "354 Go ahead\r\n";
        inData = true;
        // The body begins as if a line had ended before it.
        text = `\r\n${text}`;
      } else if (verb === "QUIT") {
        socket.end(`${replies}221 2.0.0 Bye\r\n`);
        return;
      } else replies += "250 2.0.0 Ok\r\n";
    }
    if (replies !== "") socket.write(replies);
  });
  socket.write("220 sink.test ESMTP\r\n");
}

const server = net.createServer({ noDelay: true }, serve);
server.listen({ port: 0, host: "127.0.0.1", backlog: 4096 }, () => {
  serveParent({ port: (server.address() as net.AddressInfo).port }, () => count);
});
