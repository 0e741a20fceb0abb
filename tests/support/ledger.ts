/**
 * A ledger of messages: what was sent, what was acknowledged, what may have been taken without an answer. And the senders
 * that fill it: they send every message until it is acknowledged, whatever happens to the server in between.
 *
 * Owns: the promise R2 in numbers. A message is delivered at least as often as it was acknowledged, at most as often as
 * it was acknowledged or left without an answer behind its dot (RFC 1047), and never in part.
 * @module
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { SmtpClient } from "./smtp_client.ts";
import { stuffed } from "./dot_reader.ts";

interface Entry {
  readonly content: Buffer;
  readonly sha256: string;
  acknowledged: number;
  /** Attempts whose dot was sent, or may have been, and that got no answer, or one that leaves it open. */
  unanswered: number;
}

/** Messages by their ids. */
export class Ledger {
  readonly #entries = new Map<string, Entry>();
  #acknowledged = 0;
  #watchers: (() => void)[] = [];

  /** A new message of about `size` octets. */
  add(id: string, size: number): void {
    const line = `${id} ${"x".repeat(60)}\r\n`;
    const body = line.repeat(Math.max(1, Math.ceil(size / line.length)));
    const content = Buffer.from(
      `Message-ID: <${id}@client.test>\r\nSubject: ${id}\r\n\r\n${body}.\r\n`,
    );
    const sha256 = createHash("sha256").update(content).digest("hex");
    this.#entries.set(id, { content, sha256, acknowledged: 0, unanswered: 0 });
  }

  /** Acknowledgements so far. */
  get acknowledged(): number {
    return this.#acknowledged;
  }

  content(id: string): Buffer {
    return this.#entry(id).content;
  }

  acknowledge(id: string): void {
    this.#entry(id).acknowledged++;
    this.#acknowledged++;
    const watchers = this.#watchers;
    this.#watchers = [];
    for (const look of watchers) look();
  }

  leaveOpen(id: string): void {
    this.#entry(id).unanswered++;
  }

  /** Resolves when there are so many acknowledgements. */
  async reached(count: number): Promise<void> {
    while (this.#acknowledged < count) {
      await new Promise<void>((resolve) => this.#watchers.push(resolve));
    }
  }

  /** Compares with what was delivered: contents without trace fields. */
  compare(delivered: readonly Uint8Array[]): void {
    const counts = new Map<string, number>();
    for (const content of delivered) {
      const start = Buffer.from(content.subarray(0, 200)).toString("latin1");
      const id = /^Message-ID: <(.*)@client\.test>/.exec(start)?.[1] ?? start;
      const entry = this.#entries.get(id);
      assert.ok(entry !== undefined, `delivered, but never sent: ${JSON.stringify(id)}`);
      const sha256 = createHash("sha256").update(content).digest("hex");
      assert.equal(sha256, entry.sha256, `${id} was delivered in part: ${content.length} octets`);
      counts.set(id, (counts.get(id) ?? 0) + 1);
    }
    for (const [id, { acknowledged, unanswered }] of this.#entries) {
      const count = counts.get(id) ?? 0;
      assert.ok(count >= acknowledged, `${id} was acknowledged and is lost`);
      assert.ok(
        count <= acknowledged + unanswered,
        `${id} was delivered ${count} times: ${acknowledged} acknowledged, ${unanswered} open`,
      );
    }
  }

  #entry(id: string): Entry {
    const entry = this.#entries.get(id);
    if (entry === undefined) throw new Error(`There is no message ${id}`);
    return entry;
  }
}

/** Where a sender goes: the port of a server that runs now; undefined: none will any more. */
export type Door = () => Promise<number | undefined>;

/** Sends these messages of the ledger, one after the other, each until it is acknowledged or the door stays shut. */
export async function sendAll(
  ledger: Ledger,
  ids: readonly string[],
  to: string,
  door: Door,
): Promise<void> {
  const left = [...ids];
  while (left.length > 0) {
    const port = await door();
    if (port === undefined) return;
    await sendSome(ledger, left, to, port);
  }
}

/** Sends until nothing is left or the connection is; takes what was acknowledged from the list. */
async function sendSome(ledger: Ledger, left: string[], to: string, port: number): Promise<void> {
  let client: SmtpClient | undefined;
  try {
    client = await SmtpClient.connect(port);
    if ((await client.reply()).code !== 220) return;
    await client.ehlo();
    for (let id = left[0]; id !== undefined; id = left[0]) {
      if (!await sendOne(client, ledger, id, to)) return;
      left.shift();
    }
    await client.quit();
  } catch (error) {
    if (error instanceof UnexpectedReply) throw error;
    // The server is gone, or was not there: the next round finds it again.
  } finally {
    client?.close();
  }
}

/** A reply that no restart explains. */
class UnexpectedReply extends Error {}

async function sendOne(
  client: SmtpClient,
  ledger: Ledger,
  id: string,
  to: string,
): Promise<boolean> {
  for (const line of [`MAIL FROM:<sender@client.test>`, `RCPT TO:<${to}>`, "DATA"]) {
    client.send(line);
    const reply = await client.reply();
    if (reply.code >= 500) throw new UnexpectedReply(`${line}: ${reply.text}`);
    if (reply.code >= 400) return false;
  }
  const wire = stuffed(ledger.content(id));
  // In pieces, so that the end can come between two of them.
  const piece = 16 * 1024;
  let at = 0;
  for (; at + piece < wire.length; at += piece) {
    await client.sendRaw(wire.subarray(at, at + piece));
  }
  client.sendRaw(wire.subarray(at));
  let answered = false;
  try {
    const reply = await client.reply();
    if (reply.code >= 500) throw new UnexpectedReply(`${id}: ${reply.text}`);
    answered = reply.code === 250;
    return answered;
  } finally {
    if (answered) ledger.acknowledge(id);
    else ledger.leaveOpen(id);
  }
}
