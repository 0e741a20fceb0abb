/**
 * The wire room by itself: SMTP's octets to plain values and back, without a socket, a promise or a dependency. This is
 * enough to write a test double, a log analyser or a client.
 *
 *     deno run examples/wire.ts
 *     bun examples/wire.ts
 * @module
 */
import {
  formatReply,
  HeaderBlock,
  parseCommand,
  Receiver,
  reply,
  ReplyParser,
} from "@postern/postern/wire";

const octets = (text: string) => new TextEncoder().encode(text);
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

// Octets to lines to commands. Cut them where you like: the events are the same.
const receiver = new Receiver({
  commandLine: 512,
  textLine: 1000,
  longLines: "pass",
  bareNewline: "reject",
});
for (
  const chunk of [
    "MAIL FROM:<bob@exam",
    'ple.com> SIZE=120\r\nRCPT TO:<"a b"@Example.ORG>\r\nD',
    "ATA\r\n",
  ]
) {
  receiver.feed(octets(chunk));
  for (let event = receiver.next(); event !== undefined; event = receiver.next()) {
    if (event.event === "line") console.log(parseCommand(event.text));
  }
}

// Replies, in both directions.
const parser = new ReplyParser();
parser.feed(octets(formatReply(reply(452, "4.5.3", "Too many recipients"))));
console.log(parser.next());

// A header block is edited in place: what is not touched stays octet for octet.
const header = new HeaderBlock(
  octets("Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\r\n\tnow\r\nX-Mailer: old\r\n\r\n"),
);
header.remove("x-mailer");
header.append("X-Edge", "postern");
console.log(text(header.apply()));
