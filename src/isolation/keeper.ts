/**
 * Keeps a plugin's worker alive: one that breaks, ends or does not answer a ping is replaced, after a pause that grows.
 *
 * While there is none, questions fail at once (their plugin's `on_error` decides); while one is starting, they wait, as
 * long as their budget lasts.
 * @module
 */
import { Crashed } from "../pipeline/failure.ts";
import type { Edge } from "../plugin/edge.ts";
import { FactsOut } from "./facts.ts";
import { HostEdge } from "./host_edge.ts";
import { type AskOptions, Line } from "./line.ts";
import type { WorkerOrder, WorkerRights, Workers } from "./port.ts";
import type { GuestFailure, GuestModule, GuestShape, GuestTask, ToHost } from "./protocol.ts";

/** What a keeper needs. */
export interface KeeperOptions {
  readonly workers: Workers;
  readonly order: Pick<WorkerOrder, "name" | "url">;
  readonly module: GuestModule;
  readonly rights: WorkerRights;
  readonly options: unknown;
  readonly budget: number;
  readonly baseDir: string;
  /** Notes that the plugin reads. */
  readonly reads: readonly string[];
  readonly edge: Edge;
  readonly resolve: (path: string) => string;
  /** Milliseconds that a worker has to answer a ping. */
  readonly patience: number;
  /** Something broke outside of a question. */
  readonly broke: (kind: "worker" | "on", message: string) => void;
}

/** Milliseconds that a plugin has to load, or to start. */
export const START_LIMIT = 30_000;
/** Milliseconds that a plugin has to close; less than the host waits for it. */
const CLOSE_LIMIT = 4_000;
/** Milliseconds to the second attempt; each further one waits twice as long, at most the last of these. */
const FIRST_PAUSE = 100;
const LONGEST_PAUSE = 30_000;
/** A worker that has lived for so many milliseconds has recovered. */
const RECOVERED = 60_000;
/** Busy threads that cannot be stopped, before no further worker is made. */
const LOST_LIMIT = 4;

/** One worker in use. */
interface Running {
  readonly line: Line;
  readonly facts: FactsOut;
  readonly edge: HostEdge;
  readonly since: number;
}

type State =
  | { readonly at: "starting"; readonly running: Promise<Running> }
  | { readonly at: "running"; readonly running: Running }
  | { readonly at: "down"; readonly why: string };

/** Keeps one. */
export class Keeper {
  readonly #options: KeeperOptions;
  #state: State = { at: "down", why: "It has not started" };
  #current: Line | undefined;
  #shape: string | undefined;
  #failures = 0;
  #lost = 0;
  #closed = false;
  #stopWaiting: (() => void) | undefined;
  #stopPing: (() => void) | undefined;

  constructor(options: KeeperOptions) {
    this.#options = options;
  }

  /** The first start; rejects with what is wrong. */
  async start(): Promise<GuestShape> {
    const { running, shape } = await this.#spawn();
    this.#shape = JSON.stringify(shape);
    this.#state = { at: "running", running };
    return shape;
  }

  /** Asks, once there is a worker; `make` is given what belongs to this one. */
  async ask(make: (facts: FactsOut) => GuestTask, options?: AskOptions): Promise<unknown> {
    const running = await this.#running();
    return await running.line.ask(make(running.facts), {
      ...options,
      aborted: () => this.#ping(running.line),
    });
  }

  /** The session is over; what was asked about it before is asked before. */
  async forget(session: string): Promise<void> {
    if (this.#state.at === "down") return;
    try {
      const { facts, line } = await this.#running();
      if (facts.forget(session)) line.send({ say: "forget", session });
    } catch {
      // The worker that would have come knows nothing of it.
    }
  }

  /** Has it answer within its patience, or be replaced. */
  ping(): void {
    if (this.#state.at === "running") this.#ping(this.#state.running.line);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#stopWaiting?.();
    // A worker that spins never answers, and must not outlive its generation.
    const line = this.#state.at === "running" ? this.#state.running.line : undefined;
    const stop = this.#options.workers.later(
      CLOSE_LIMIT,
      () => line?.end(`It has not closed within ${CLOSE_LIMIT} ms`),
    );
    try {
      await line?.ask({ task: "close" });
    } finally {
      stop();
      this.#end("The generation has ended");
      this.#state = { at: "down", why: "The generation has ended" };
    }
  }

  /** At once where there is a worker or none, so that a question is on its way in the same tick. */
  #running(): Running | Promise<Running> {
    const state = this.#state;
    if (state.at === "down") throw new Crashed(state.why);
    return state.running;
  }

  async #spawn(): Promise<{ readonly running: Running; readonly shape: GuestShape }> {
    const { workers, order, module, rights, options, budget, baseDir, reads, edge, resolve } =
      this.#options;
    const facts = new FactsOut(edge, reads);
    const line: Line = new Line(workers, { ...order, rights }, {
      now: () => edge.clock.now(),
      heard: (message) => this.#heard(line, hostEdge, message),
      ended: (why) => this.#broken(line, why, false),
    });
    const hostEdge = new HostEdge({
      edge,
      rights,
      resolve,
      facts,
      send: (message) => line.send(message),
    });
    this.#current = line;
    const stop = workers.later(
      START_LIMIT,
      () => line.end(`It has not started within ${START_LIMIT} ms`),
    );
    try {
      await line.ask({ task: "load", module });
      const shape = await line.ask({ task: "start", options, budget, baseDir }) as GuestShape;
      return { running: { line, facts, edge: hostEdge, since: edge.clock.now() }, shape };
    } catch (cause) {
      hostEdge.close();
      line.end("It has not started");
      throw cause;
    } finally {
      stop();
    }
  }

  #heard(line: Line, edge: HostEdge, message: ToHost): void {
    if (edge.take(message)) return;
    switch (message.say) {
      case "pong":
        this.#stopPing?.();
        this.#stopPing = undefined;
        break;
      case "late":
        this.#options.broke("on", textOf(message.failure));
        break;
      case "stray":
        this.#broken(line, String(message.message), false);
        break;
    }
  }

  #ping(line: Line): void {
    if (this.#stopPing !== undefined || line !== this.#current) return;
    line.send({ say: "ping" });
    const { workers, patience } = this.#options;
    this.#stopPing = workers.later(
      patience,
      () => this.#broken(line, `It did not answer a ping within ${patience} ms`, true),
    );
  }

  /** Something broke outside of a hook: the worker is ended, and replaced. */
  #broken(line: Line, why: string, busy: boolean): void {
    if (line !== this.#current || this.#closed) return;
    const { workers, edge, broke } = this.#options;
    const state = this.#state;
    if (state.at === "running" && edge.clock.now() - state.running.since >= RECOVERED) {
      this.#failures = 0;
    }
    if (busy && !workers.stopsBusyThreads) this.#lost++;
    this.#end(why);
    // The first start, and a start anew, tell their own end.
    if (state.at !== "running") return;
    broke("worker", why);
    this.#again(why);
  }

  #end(why: string): void {
    this.#stopPing?.();
    this.#stopPing = undefined;
    if (this.#state.at === "running") this.#state.running.edge.close();
    this.#current?.end(why);
    this.#current = undefined;
  }

  #again(why: string): void {
    if (this.#lost >= LOST_LIMIT) {
      const given = `Given up: ${this.#lost} of its threads spin and cannot be stopped; restart`;
      this.#state = { at: "down", why: given };
      this.#options.broke("worker", given);
      return;
    }
    const pause = this.#failures === 0
      ? 0
      : Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (this.#failures - 1));
    this.#failures++;
    if (pause === 0) return this.#restart();
    this.#state = { at: "down", why: `Waits ${pause} ms to be started again: ${why}` };
    this.#stopWaiting = this.#options.workers.later(pause, () => this.#restart());
  }

  #restart(): void {
    if (this.#closed) return;
    const running = this.#spawn().then(({ running, shape }) => {
      if (JSON.stringify(shape) !== this.#shape) {
        running.edge.close();
        this.#end("It is not the plugin that it was");
        throw new Crashed("It is not the plugin that it was");
      }
      if (this.#closed) return running;
      this.#state = { at: "running", running };
      this.#options.edge.log.info("the worker runs again", { failures: this.#failures });
      return running;
    });
    this.#state = { at: "starting", running };
    running.catch((cause) => {
      if (this.#closed) return;
      const why = cause instanceof Error ? cause.message : String(cause);
      this.#options.broke("worker", why);
      this.#again(why);
    });
  }
}

function textOf({ message }: GuestFailure): string {
  return String(message);
}
