/**
 * The embedded mailbox: an upstream that delivers into Maildirs, one per recipient (`docs/maildir.md`).
 *
 * Owns: one transaction at a time per leg, from the first recipient to the fsynced names in every `new/`.
 * Never: says 250 before content and directory entries are on the disk (R1, R2); leaves anything in `new/` when it is
 * released before `finish` (R3); changes the content: one `Return-Path` line goes in front of it (RFC 5321 section 4.4),
 * dots are unstuffed, CRLF stays CRLF (R7).
 *
 * This file and its `maildir_*.ts` use `node:fs`, `node:path` and `node:process`: the disk is their wire.
 * @module
 */
import process from "node:process";
import * as Effect from "effect/Effect";
import { type Reply, reply } from "../wire/reply.ts";
import { Unstuffer } from "../wire/dot.ts";
import { type Leg, LegDown, type LegEnvelope, type LegRecipient } from "./leg.ts";
import { MessageFile } from "./maildir_file.ts";
import { folderName, maildirNames, type Names } from "./maildir_names.ts";
import { codeOf, MaildirStore } from "./maildir_store.ts";

export { listMaildir, type StoredMessage } from "./maildir_store.ts";

/** Where and as whom the embedded mailbox delivers. */
export interface MaildirOptions {
  /** Name of the upstream in the configuration. */
  readonly name: string;
  /** Absolute path; made when it is not there. */
  readonly path: string;
  /** Our host name: part of unique names, and the domain of a bare `postmaster`. */
  readonly hostname: string;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

/** A leg of the embedded mailbox. */
export interface MaildirLeg extends Leg {
  /** Resolves after `release`, once the leg holds no file any more. Never rejects. */
  readonly released: Promise<void>;
}

/** The embedded mailbox as an upstream. */
export interface MaildirUpstream {
  /** A leg for one transaction. Fails where the path cannot be made or read. */
  open(envelope: LegEnvelope): Effect.Effect<MaildirLeg, LegDown>;
  /** Proves that messages can be stored, and removes old leftovers of interrupted deliveries. */
  check(): Effect.Effect<void, LegDown>;
}

/** Makes the embedded mailbox. Nothing is touched before the first `open` or `check`. */
export function maildirUpstream(options: MaildirOptions): MaildirUpstream {
  const names = maildirNames(options.hostname, process.pid, options.now);
  const store = new MaildirStore(options.path, names);
  const server = `maildir:${options.path}`;
  let swept: Promise<number> | undefined;
  const sweep = () => swept ??= store.sweep(options.now());
  const disk: Disk = {
    names,
    store,
    hostname: options.hostname,
    upstream: options.name,
    server,
    down: (phase, action, cause) =>
      new LegDown({
        phase,
        message: `upstream ${options.name} ${server}: ${action}: ${
          cause instanceof Error ? cause.message : String(cause)
        }`,
      }),
  };
  return {
    open(envelope) {
      return Effect.tryPromise({
        try: async () => {
          await store.root();
          // Leftovers are looked for beside the first delivery; it does not wait for them.
          void sweep();
          return new Delivery(disk, envelope);
        },
        catch: (cause) => disk.down("connect", "cannot open the mailbox folder", cause),
      });
    },
    check() {
      return Effect.tryPromise({
        try: async () => {
          await store.probe();
          await sweep();
        },
        catch: (cause) => disk.down("connect", "cannot store messages", cause),
      });
    },
  };
}

/** What all legs of one mailbox share. */
interface Disk {
  readonly names: Names;
  readonly store: MaildirStore;
  readonly hostname: string;
  readonly upstream: string;
  readonly server: string;
  down(phase: LegDown["phase"], action: string, cause: unknown): LegDown;
}

const encoder = new TextEncoder();

const recipientTaken = reply(250, "2.1.5", "Recipient ok");
const startMail = reply(354, "", "Start mail input; end with <CRLF>.<CRLF>");
const noRecipients = reply(503, "5.5.1", "No valid recipients");
const delivered = reply(250, "2.0.0", "Delivered");
/** RFC 5321 section 4.2.3: 452 is insufficient system storage; X.3.1 is mail system full (RFC 3463). */
const diskFull = reply(452, "4.3.1", "Insufficient system storage");

function isFull(cause: unknown): boolean {
  const code = codeOf(cause);
  return code === "ENOSPC" || code === "EDQUOT";
}

class Delivery implements MaildirLeg {
  readonly upstream: string;
  readonly server: string;
  readonly released: Promise<void>;
  drained: () => void = () => {};
  failed: (error: LegDown) => void = () => {};

  readonly #disk: Disk;
  readonly #envelope: LegEnvelope;
  /** A recipient named twice is delivered to once. */
  readonly #folders = new Set<string>();
  readonly #unstuffer = new Unstuffer();
  #file: MessageFile | undefined;
  /** Set once the disk failed in mid-body; the content that follows is thrown away. */
  #broken: { readonly cause: unknown } | undefined;
  /** The call that was begun last; never rejects. */
  #busy: Promise<unknown> = Promise.resolve();
  #over = false;
  readonly #tellReleased: () => void;

  constructor(disk: Disk, envelope: LegEnvelope) {
    this.upstream = disk.upstream;
    this.server = disk.server;
    this.#disk = disk;
    this.#envelope = envelope;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.released = promise;
    this.#tellReleased = resolve;
  }

  rcpt(recipient: LegRecipient): Effect.Effect<Reply, LegDown> {
    return this.#call("envelope", "cannot make the recipient's folder", async () => {
      const folder = await folderName(recipient.to, this.#disk.hostname);
      await this.#disk.store.ready(folder);
      this.#folders.add(folder);
      return recipientTaken;
    });
  }

  data(): Effect.Effect<Reply, LegDown> {
    return this.#call("data", "cannot create the message file", async () => {
      const [folder] = this.#folders;
      if (folder === undefined) return noRecipients;
      const file = await this.#create(folder);
      file.drained = () => this.drained();
      file.failed = (cause) => this.#onFailure(cause);
      file.write(encoder.encode(`Return-Path: <${this.#envelope.from?.address ?? ""}>\r\n`));
      this.#file = file;
      return startMail;
    });
  }

  write(chunk: Uint8Array): boolean {
    if (this.#file === undefined || this.#broken !== undefined || this.#over) return true;
    return this.#file.write(this.#unstuffer.push(chunk));
  }

  finish(last?: Uint8Array): Effect.Effect<Reply, LegDown> {
    // "body": nothing of it is in any `new/`. "dot" is kept for the case where that is not known.
    return this.#call("body", "cannot store the message", async () => {
      if (this.#broken !== undefined) throw this.#broken.cause;
      const file = this.#file;
      if (file === undefined) throw new Error("no message was begun");
      if (last !== undefined) this.write(last);
      // From here on the reply says it all.
      file.drained = () => {};
      file.failed = () => {};
      await file.commit();
      // Given up while the disk was busy: nothing has been published, and nothing will be.
      if (this.#over) throw new Error("the message was given up");
      const name = `${this.#disk.names.next()},S=${file.size}`;
      const published = await this.#disk.store.publish(file.path, name, [...this.#folders]);
      if (!published.ok && !published.undone) {
        throw this.#disk.down("dot", "cannot store the message for all", published.cause);
      }
      await file.discard();
      this.#file = undefined;
      if (!published.ok) throw published.cause;
      return delivered;
    });
  }

  release(): void {
    if (this.#over) return;
    this.#over = true;
    void this.#busy.then(() => this.#file?.discard()).then(this.#tellReleased);
  }

  /** Runs one call of the leg. A full disk is an answer; everything else that breaks is `LegDown` with its true cause. */
  #call(
    phase: LegDown["phase"],
    action: string,
    run: () => Promise<Reply>,
  ): Effect.Effect<Reply, LegDown> {
    return Effect.tryPromise({
      try: () => {
        const running = run().catch((cause: unknown) => {
          if (isFull(cause)) return diskFull;
          throw cause instanceof LegDown ? cause : this.#disk.down(phase, action, cause);
        });
        this.#busy = running.catch(() => {});
        return running;
      },
      catch: (cause) => cause as LegDown,
    });
  }

  async #create(folder: string): Promise<MessageFile> {
    const { store } = this.#disk;
    try {
      return await MessageFile.create(store.temporary(folder));
    } catch (cause) {
      if (codeOf(cause) !== "ENOENT") throw cause;
      // Somebody has removed the folder since it was made ready.
      store.forget(folder);
      await store.ready(folder);
      return await MessageFile.create(store.temporary(folder));
    }
  }

  #onFailure(cause: unknown): void {
    this.#broken = { cause };
    // A full disk has an answer of its own, and it is due after the dot: until then the content is read and thrown away.
    if (isFull(cause)) {
      // What was written so far goes at once: others may need the room.
      void this.#file?.discard();
      this.drained();
    } else this.failed(this.#disk.down("body", "cannot write the message", cause));
  }
}
