/**
 * The tests' own client, for where the client is not what is tried.
 * @module
 */
import { type ConnectOptions, SmtpClient } from "../support/smtp_client.ts";
import type { Message } from "./messages.ts";

/** Sends one message without TLS; fails unless it was accepted. */
export async function sendPlain(
  { from, to, kind, content }: Message,
  port: number,
  options: ConnectOptions = {},
): Promise<void> {
  await using client = await SmtpClient.connect(port, options);
  await client.expect(220);
  await client.ehlo();
  const reply = await client.sendMessage({
    from,
    to,
    content,
    params: `${kind.eightBit ? " BODY=8BITMIME" : ""}${kind.utf8 ? " SMTPUTF8" : ""}`,
  });
  if (reply.code !== 250) client.fail(`refused: ${reply.text}`);
  await client.quit();
}
