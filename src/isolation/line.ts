/**
 * The line to one worker, from its spawn to its end: questions and their answers by number, and what the worker asks of
 * the plugin's `edge`.
 *
 * What comes from the worker is not trusted: each word is looked at before it is used. When the line ends, every question
 * that is open fails; nothing is heard afterwards.
 * @module
 */
import { Nonsense } from "../pipeline/answer.ts";
import { Crashed, OverBudget } from "../pipeline/failure.ts";
import type { WorkerHandle, WorkerOrder, Workers } from "./port.ts";
import type { GuestFailure, GuestTask, ToGuest, ToHost } from "./protocol.ts";

/** What the owner of a line hears beside the answers. */
export interface LineOwner {
  readonly now: () => number;
  /** The worker's other words. */
  readonly heard: (message: ToHost) => void;
  /** The worker is no more, or has to be ended for what it did. */
  readonly ended: (why: string) => void;
}

/** A question that is open. */
interface Open {
  resolve(value: unknown): void;
  reject(cause: unknown): void;
  /** Room to send more content. */
  roomy: ((octets: number) => void) | undefined;
}

/** How a question is asked. */
export interface AskOptions {
  /** Aborts it: the worker is told, and the answer is not waited for. */
  readonly signal?: AbortSignal;
  /** The call was given up. */
  readonly aborted?: () => void;
  /** The question is under way. */
  readonly asked?: (call: LineCall) => void;
}

/** A question that is under way, for who sends content behind it. */
export interface LineCall {
  /** Throws where the message cannot be cloned. */
  send(message: ToGuest, transfer?: readonly ArrayBuffer[]): void;
  readonly id: number;
  /** Hears how many octets the scanner has read; Infinity: it wants no more. */
  onRoom(heard: (octets: number) => void): void;
}

/** One worker. */
export class Line {
  readonly #owner: LineOwner;
  readonly #worker: WorkerHandle;
  readonly #open = new Map<number, Open>();
  #counter = 0;
  #over: string | undefined;

  /** Throws where the runtime refuses the worker. */
  constructor(
    workers: Workers,
    order: Pick<WorkerOrder, "name" | "url" | "rights">,
    owner: LineOwner,
  ) {
    this.#owner = owner;
    this.#worker = workers.spawn({
      ...order,
      onMessage: (message) => this.#hear(message),
      onEnd: (why) => this.#ended(why),
    });
  }

  /** Questions that are open. */
  get waiting(): number {
    return this.#open.size;
  }

  /** Throws where the message cannot be cloned. */
  send(message: ToGuest, transfer?: readonly ArrayBuffer[]): void {
    if (this.#over === undefined) this.#worker.post(message, transfer);
  }

  ask(task: GuestTask, { signal, aborted, asked }: AskOptions = {}): Promise<unknown> {
    if (this.#over !== undefined) return Promise.reject(new Crashed(this.#over));
    if (signal?.aborted === true) return Promise.reject(signal.reason);
    const id = ++this.#counter;
    return new Promise((resolve, reject) => {
      const open: Open = { resolve, reject, roomy: undefined };
      this.#open.set(id, open);
      try {
        this.send({ say: "do", id, now: this.#owner.now(), task });
      } catch (cause) {
        this.#open.delete(id);
        return reject(cause);
      }
      asked?.({
        id,
        send: (message, transfer) => this.send(message, transfer),
        onRoom: (heard) => open.roomy = heard,
      });
      signal?.addEventListener("abort", () => {
        if (!this.#open.delete(id)) return;
        open.roomy?.(Infinity);
        this.send({ say: "abort", id, reason: reasonOf(signal) });
        reject(signal.reason);
        aborted?.();
      }, { once: true });
    });
  }

  /** Ends the worker; what is open fails with this. */
  end(why: string): void {
    if (this.#over !== undefined) return;
    this.#over = why;
    this.#worker.terminate();
    const open = [...this.#open.values()];
    this.#open.clear();
    for (const { reject, roomy } of open) {
      roomy?.(Infinity);
      reject(new Crashed(why));
    }
  }

  #ended(why: string): void {
    if (this.#over === undefined) this.#owner.ended(why);
  }

  #hear(message: unknown): void {
    if (this.#over !== undefined) return;
    try {
      this.#take(message as ToHost);
    } catch {
      // Only a worker that has been taken over says what cannot be read.
      this.#owner.ended("It said what it cannot say");
    }
  }

  #take(message: ToHost): void {
    switch (message.say) {
      case "done":
        this.#close(message.id)?.resolve(message.value);
        break;
      case "failed": {
        // Read before the question is closed: one that cannot be read must not leave it without an end.
        const cause = causeOf(message.failure);
        this.#close(message.id)?.reject(cause);
        break;
      }
      case "read":
        this.#open.get(message.id)?.roomy?.(octetsOf(message.octets));
        break;
      case "enough":
        this.#open.get(message.id)?.roomy?.(Infinity);
        break;
      default:
        this.#owner.heard(message);
    }
  }

  #close(id: number): Open | undefined {
    const open = this.#open.get(id);
    this.#open.delete(id);
    open?.roomy?.(Infinity);
    return open;
  }
}

function octetsOf(value: unknown): number {
  return typeof value === "number" && value > 0 ? value : 0;
}

function reasonOf(signal: AbortSignal): string {
  return signal.reason instanceof Error ? signal.reason.message : "Aborted";
}

/** The failure as the engine knows it: its kind is told by its class, its text by the plugin. */
function causeOf({ kind, message }: GuestFailure): Error {
  const text = String(message);
  if (kind === "nonsense") return new Nonsense(text);
  if (kind === "over-budget") return new OverBudget(Number(text));
  const [, name = "Error", rest = ""] = /^(?:([A-Za-z]{1,64}): )?(.*)$/s.exec(text) ?? [];
  const cause = new Error(rest);
  cause.name = name;
  return cause;
}
