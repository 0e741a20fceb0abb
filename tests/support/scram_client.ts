/**
 * The client side of SCRAM-SHA-256 (RFC 5802), written from the RFC and not from our server: for tests.
 * @module
 */
import { Buffer } from "node:buffer";
import { createHash, createHmac, pbkdf2Sync } from "node:crypto";
import assert from "node:assert/strict";
import type { SmtpClient } from "./smtp_client.ts";

/** What the client answers to the server's first message, and the signature it expects then. */
export interface ScramAnswer {
  readonly final: string;
  readonly signature: string;
}

/** Computes the last message. `bare` is the first one without its header. */
export function scramAnswer(
  password: string,
  header: string,
  bare: string,
  serverFirst: string,
): ScramAnswer {
  const fields = new Map(
    serverFirst.split(",").map((field) => [field.slice(0, 2), field.slice(2)]),
  );
  const salt = Buffer.from(fields.get("s=") ?? "", "base64");
  const salted = pbkdf2Sync(password, salt, Number(fields.get("i=")), 32, "sha256");
  const clientKey = hmac(salted, "Client Key");
  const storedKey = createHash("sha256").update(clientKey).digest();
  const withoutProof = `c=${Buffer.from(header).toString("base64")},r=${fields.get("r=")}`;
  const authMessage = `${bare},${serverFirst},${withoutProof}`;
  const signature = hmac(storedKey, authMessage);
  const proof = Buffer.from(clientKey.map((octet, i) => octet ^ signature[i]!));
  return {
    final: `${withoutProof},p=${proof.toString("base64")}`,
    signature: hmac(hmac(salted, "Server Key"), authMessage).toString("base64"),
  };
}

/** How an exchange is to differ from the usual. */
export interface ScramOptions {
  readonly header?: string;
  /** Where the first message goes into: the AUTH command, or the answer to an empty challenge. */
  readonly initial?: boolean;
  /** Changes the last message. */
  readonly change?: (final: string) => string;
}

/** Logs in; `wanted` is the last reply. Gives the server's first message. */
export async function authScram(
  client: SmtpClient,
  user: string,
  password: string,
  wanted: number | string | RegExp = 235,
  { header = "n,,", initial = true, change = (final) => final }: ScramOptions = {},
): Promise<string> {
  const bare = `n=${user},r=fyko+d2lbbFgONRv9qkxdawL`;
  const first = encode(`${header}${bare}`);
  if (!initial) await client.command("AUTH SCRAM-SHA-256", "334");
  const reply = await client.command(initial ? `AUTH SCRAM-SHA-256 ${first}` : first, 334);
  const serverFirst = decode(reply.lines[0] ?? "");
  const { final, signature } = scramAnswer(password, header, bare, serverFirst);
  client.send(encode(change(final)));
  if (wanted === 235) {
    const last = await client.expect(334);
    assert.equal(decode(last.lines[0] ?? ""), `v=${signature}`);
    client.send("");
  }
  await client.expect(wanted);
  return serverFirst;
}

function hmac(key: Uint8Array, text: string): Buffer {
  return createHmac("sha256", key).update(text).digest();
}

function encode(text: string): string {
  return Buffer.from(text).toString("base64");
}

function decode(text: string): string {
  return Buffer.from(text, "base64").toString();
}
