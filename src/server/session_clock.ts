/**
 * A session's deadlines: the next command, progress of content, the whole session, the goodbye. A drip of octets does not
 * extend a command, and content has to bring at least so much in each period (R31).
 * @module
 */
import type { Deadline, Deadlines } from "../transport/deadlines.ts";

/** Octets of content that begin a new period. */
const leastProgress = 1_024;
/** Milliseconds that a client gets to close its side. */
const linger = 5_000;

/** Milliseconds, from the settings. */
export interface SessionTimes {
  readonly command: number;
  readonly data: number;
  readonly session: number;
  readonly upstreamData: number;
}

/** The deadline of one session. */
export class SessionClock implements Deadline {
  at = Infinity;
  readonly #deadlines: Deadlines;
  readonly #times: SessionTimes;
  readonly #end: number;
  readonly #expired: () => void;
  #progress = 0;

  constructor(deadlines: Deadlines, times: SessionTimes, expired: () => void) {
    this.#deadlines = deadlines;
    this.#times = times;
    this.#end = deadlines.now + times.session;
    this.#expired = expired;
    deadlines.add(this);
    this.awaitCommand();
  }

  /** The next command is awaited from now on. */
  awaitCommand(): void {
    this.at = Math.min(this.#deadlines.now + this.#times.command, this.#end);
  }

  /** Content is awaited from now on. */
  awaitContent(): void {
    this.#progress = 0;
    this.at = Math.min(this.#deadlines.now + this.#times.data, this.#end);
  }

  /** Octets of content came. */
  progressed(octets: number): void {
    this.#progress += octets;
    if (this.#progress >= leastProgress) this.awaitContent();
  }

  /** The upstream takes nothing at the moment. */
  awaitLeg(): void {
    this.at = Math.min(this.#deadlines.now + this.#times.upstreamData, this.#end);
  }

  /** We are the ones who are waited for: only the whole session's time counts. */
  awaitOurselves(): void {
    this.at = this.#end;
  }

  /** Somebody else keeps the time: a handshake, an upstream. */
  suspend(): void {
    this.at = Infinity;
  }

  /** The last word is said: the client has a moment to close. */
  awaitClose(): void {
    this.at = this.#deadlines.now + linger;
  }

  /** The session is gone. */
  stop(): void {
    this.#deadlines.delete(this);
  }

  expired(): void {
    this.#expired();
  }
}
