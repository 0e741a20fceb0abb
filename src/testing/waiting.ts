/**
 * Waits of tests, and what was said until then: a wait is for an event, under a guard that fails with the conversation.
 * @module
 */

/** Waits for an event; fails with `describe()` when it does not come in so many milliseconds of real time. */
export function guarded<T>(
  event: Promise<T>,
  describe: () => string,
  patience: number,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new Error(`Waited in vain: ${describe()}`)),
      patience,
    );
    event.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

/** Characters of one entry, entries at most. */
const SHOWN = 300;
const MOST = 200;

/** Both directions of one conversation, for the message of a failed test: the last lines, cut to a readable length. */
export class Transcript {
  #lines: string[] = [];

  add(who: string, octets: Uint8Array | string): void {
    const text = typeof octets === "string"
      ? octets
      : new TextDecoder().decode(octets.subarray(0, SHOWN));
    const cut = text.length > SHOWN || octets.length > SHOWN;
    this.#lines.push(
      `${who} ${JSON.stringify(text.slice(0, SHOWN))}${cut ? `... (${octets.length})` : ""}`,
    );
    if (this.#lines.length > MOST) this.#lines = this.#lines.slice(MOST / 2);
  }

  toString(): string {
    return this.#lines.length === 0 ? "(nothing was said)" : this.#lines.join("\n");
  }
}
