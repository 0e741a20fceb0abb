/**
 * One message from a file, as the classifier sees it: the same tokens as if it had come by SMTP.
 * @module
 */
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { Content, deepestOctet } from "../../../plugins/spam-score/content.ts";
import { tokensOf } from "../../../plugins/spam-score/tokens.ts";
import { findHeaderEnd, HeaderBlock } from "../../wire/headers.ts";

/** Octets of a message that are looked at: its header and more than the classifier reads of a body. */
export const longestMessage = 1024 * 1024;

/** Longest field value that is read, as in the plugin. */
const longestValue = 4096;

/** A message to be learned. */
export interface LearnMessage {
  /** The same for the same octets, whatever their line ends. */
  readonly hash: string;
  readonly header: HeaderBlock;
  readonly body: Uint8Array;
  tokens(): ReadonlySet<string>;
}

/** One of these stands in every message; `{"a": 1}` is a field by the letter as well. */
const telling = ["from", "date", "received", "subject", "message-id"];

/** Reads a message; undefined for octets that are none. */
export function readMessage(octets: Uint8Array): LearnMessage | undefined {
  const plain = withCrLf(octets);
  const end = findHeaderEnd(plain, 0);
  const header = new HeaderBlock(end < 0 ? plain : plain.subarray(0, end));
  if (!telling.some((name) => header.count(name) > 0)) return undefined;
  const body = end < 0 ? new Uint8Array(0) : plain.subarray(end, end + deepestOctet);
  const get = (name: string) => header.get(name)?.slice(0, longestValue);
  return {
    hash: createHash("sha256").update(plain).digest("hex").slice(0, 24),
    header,
    body,
    tokens: () =>
      tokensOf(
        { get },
        new Content(body, {
          type: get("content-type"),
          encoding: get("content-transfer-encoding"),
          disposition: get("content-disposition"),
        }),
      ),
  };
}

/** Files have the line ends of their system; the mbox `From ` line is no part of the message. */
function withCrLf(octets: Uint8Array): Uint8Array {
  const text = Buffer.from(octets.buffer, octets.byteOffset, octets.length)
    .subarray(0, longestMessage).toString("latin1");
  return Buffer.from(text.replace(/^From [^\n]*\n/, "").replace(/\r?\n/g, "\r\n"), "latin1");
}
