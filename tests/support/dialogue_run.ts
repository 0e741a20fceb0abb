/**
 * Runs a dialogue against a server: one client, one upstream, every line in its order.
 * @module
 */
import assert from "node:assert/strict";
import type { Network } from "../../src/transport/duplex.ts";
import { type Dialogue, type DialogueStep, isGap, matches, octetsOf } from "./dialogue.ts";
import { dialogueConfig } from "./dialogue_config.ts";
import { DialogueUpstream } from "./dialogue_upstream.ts";
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
  const upstream = new DialogueUpstream(dialogue);
  const port = await upstream.listen();
  try {
    const { toml, capabilities } = dialogueConfig(dialogue, port, options.transport === "tls");
    upstream.capabilities = capabilities;
    const server = await options.start(toml);
    try {
      await new Run(dialogue, options, upstream, server.port("mx")).run();
    } finally {
      await server.stop();
    }
  } finally {
    await upstream.stop();
  }
}

class Run {
  readonly #dialogue: Dialogue;
  readonly #options: DialogueOptions;
  readonly #upstream: DialogueUpstream;
  readonly #port: number;
  #client: SmtpClient | undefined;

  constructor(
    dialogue: Dialogue,
    options: DialogueOptions,
    upstream: DialogueUpstream,
    port: number,
  ) {
    this.#dialogue = dialogue;
    this.#options = options;
    this.#upstream = upstream;
    this.#port = port;
  }

  async run(): Promise<void> {
    let at = this.#dialogue.steps[0];
    const gaps = new Set<DialogueStep["kind"]>();
    try {
      await this.#connect();
      for (const step of this.#dialogue.steps) {
        at = step;
        if (isGap(step)) gaps.add(step.kind);
        else await this.#step(step, gaps.delete(step.kind));
      }
      assert.equal(this.#client?.io.peek(), "", "the server said more than the dialogue");
      assert.deepEqual(
        this.#upstream.leftOver(),
        [],
        "the upstream was sent more than the dialogue",
      );
    } catch (error) {
      const where = `${this.#dialogue.name}:${at?.line ?? 1}: ${at?.kind} ${at?.text}`;
      const client = this.#client?.transcript ?? "(no connection)";
      const why = error instanceof Error ? error.message : String(error);
      throw new Error(
        `${where}\n${why}\nclient side:\n${client}\nupstream side:\n${this.#upstream.transcript}`,
        { cause: error },
      );
    } finally {
      this.#client?.close();
    }
  }

  async #connect(): Promise<SmtpClient> {
    this.#client?.close();
    const { split, transport, network } = this.#options;
    return this.#client = await SmtpClient.connect(this.#port, {
      ...(split === undefined ? {} : { split }),
      ...(transport === "tls" ? { tls: true } : {}),
      ...(network === undefined ? {} : { network }),
    });
  }

  /** `gap`: lines that are not like the pattern are passed over. */
  async #step(step: DialogueStep, gap: boolean): Promise<void> {
    const client = this.#client ?? await this.#connect();
    const { kind, text } = step;
    switch (kind) {
      case "C:":
        return await client.send(text);
      case "C=":
        return await client.sendRaw(octetsOf(text, `${this.#dialogue.name}:${step.line}`));
      case "S:":
        return await like(text, gap, () => client.line());
      case "U>":
        return await like(text, gap, () => this.#upstream.line());
      case "U<":
        return await this.#upstream.say(text);
      case "U!":
        return await this.#upstream.event(text);
      case "S!":
        await client.expectClosed();
        return;
      case "C!":
        if (text === "starttls") await client.io.upgradeClient();
        else if (text === "close") await client.end();
        else if (text === "reset") await client.reset();
        else await this.#connect();
    }
  }
}

async function like(pattern: string, gap: boolean, read: () => Promise<string>): Promise<void> {
  for (;;) {
    const line = await read();
    if (matches(pattern, line)) return;
    if (!gap) assert.fail(`got ${JSON.stringify(line)}`);
  }
}
