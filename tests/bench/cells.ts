/**
 * What the benches send: one row for each kind of load. The letters are those of the comparison with other proxies where
 * the load is the same; `s` stands for STARTTLS.
 * @module
 */

/** One kind of load. */
export interface Cell {
  readonly name: string;
  readonly about: string;
  /** Octets of a message, in wire form. */
  readonly size: number;
  /** Connections at once. */
  readonly atOnce: number;
  /** Messages on one connection. */
  readonly perConnection: number;
  /** Every connection begins with STARTTLS. */
  readonly secure: boolean;
}

const MANY = 1000;

function pair(name: string, about: string, size: number, atOnce: number, perConnection: number) {
  const plain = { name, about, size, atOnce, perConnection, secure: false };
  return [plain, { ...plain, name: `${name}s`, about: `${about}, STARTTLS`, secure: true }];
}

/** Loads, by name. */
export const CELLS: ReadonlyMap<string, Cell> = new Map(
  [
    ...pair("a", "1 KiB, one message per connection", 1024, 50, 1),
    ...pair("b", "10 KiB, many messages per connection", 10 * 1024, 50, MANY),
    ...pair("c", "1 MiB, one message per connection", 1024 * 1024, 8, 1),
  ].map((cell) => [cell.name, cell]),
);

/** Cells that are no load: memory per idle connection, plain and under TLS, and the start. */
export const OTHER_CELLS: ReadonlyMap<string, string> = new Map([
  ["f", "memory of an idle connection"],
  ["fs", "memory of an idle connection, STARTTLS"],
  ["g", "start to ready"],
]);
