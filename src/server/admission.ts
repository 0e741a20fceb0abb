/**
 * Who may come in: connections in total and per address (R29, R30). Counting is all it does.
 * @module
 */

/** Counts connections; a client of a unix socket counts in the total only. */
export class Admission {
  readonly #total: number;
  readonly #perAddress: number;
  readonly #byAddress = new Map<string, number>();
  #count = 0;

  constructor(limits: { readonly connections: number; readonly connectionsPerAddress: number }) {
    this.#total = limits.connections;
    this.#perAddress = limits.connectionsPerAddress;
  }

  /** One more connection; false: too many. */
  enter(): boolean {
    if (this.#count >= this.#total) return false;
    this.#count += 1;
    return true;
  }

  /** It is this client's; false: he has too many. */
  enterAddress(address: string): boolean {
    const count = this.#byAddress.get(address) ?? 0;
    if (count >= this.#perAddress) return false;
    this.#byAddress.set(address, count + 1);
    return true;
  }

  /** It has ended. */
  leave(): void {
    this.#count -= 1;
  }

  /** It was this client's. */
  leaveAddress(address: string): void {
    const count = (this.#byAddress.get(address) ?? 1) - 1;
    if (count <= 0) this.#byAddress.delete(address);
    else this.#byAddress.set(address, count);
  }

  /** Connections now. */
  get count(): number {
    return this.#count;
  }
}
