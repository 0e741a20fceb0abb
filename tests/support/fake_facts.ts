/**
 * Facts for tests of one plugin: sessions, transactions, contexts, a header block whose edits can be looked at.
 * @module
 */
import type {
  HeaderView,
  Mailbox,
  OptionsSchema,
  Recipient,
  SessionFacts,
  TransactionContext,
  TransactionFacts,
} from "@postern/postern/plugin";

/** A mailbox of `local@domain`; quoted local parts keep their quotes in `address`. */
export function mailbox(address: string): Mailbox {
  const at = address.lastIndexOf("@");
  return {
    address,
    local: address.slice(0, at),
    domain: address.slice(at + 1).toLowerCase(),
    // deno-lint-ignore no-control-regex
    utf8: /[^\x00-\x7f]/.test(address),
  };
}

/** An accepted recipient. */
export function recipient(address: string): Recipient {
  return { ...mailbox(address), params: {} };
}

/** A session on the listener `mx` of `mx.example.org`, from 192.0.2.1. */
export function session(over: Partial<SessionFacts> = {}): SessionFacts {
  return {
    id: "s1",
    listener: "mx",
    hostname: "mx.example.org",
    remote: { address: "192.0.2.1", port: 40000 },
    local: { address: "198.51.100.1", port: 25 },
    clientName: undefined,
    helo: "client.example.net",
    esmtp: true,
    tls: undefined,
    identity: undefined,
    startedAt: 0,
    ...over,
  };
}

/** A transaction from sender@example.net to rcpt@example.org. */
export function transaction(over: Partial<TransactionFacts> = {}): TransactionFacts {
  return {
    id: "s1.1",
    session: session(),
    from: mailbox("sender@example.net"),
    params: {},
    recipients: [recipient("rcpt@example.org")],
    size: 1000,
    score: 0,
    symbols: [],
    ...over,
  };
}

/** The context of a hook inside a transaction. */
export function context(tx: TransactionFacts = transaction()): TransactionContext {
  return { session: tx.session, tx, signal: new AbortController().signal };
}

/** A header block and what its edits make of it. */
export interface FakeHeader extends HeaderView {
  /** Fields after the edits, as `Name: value`. */
  result(): readonly string[];
}

/** A header block of `Name: value` lines. */
export function headerView(...lines: readonly string[]): FakeHeader {
  const original = lines.map((line) => {
    const colon = line.indexOf(":");
    return { name: line.slice(0, colon), value: line.slice(colon + 1).trimStart() };
  });
  const rows: { name: string; value: string; gone: boolean }[] = original.map((field) => ({
    ...field,
    gone: false,
  }));
  const top: string[] = [];
  const bottom: string[] = [];
  const same = (a: string, b: string) => a.toLowerCase() === b.toLowerCase();
  const named = (name: string) => original.flatMap((field, i) => same(field.name, name) ? [i] : []);

  function checked(value: string): string {
    if (/[\r\n\0]/.test(value)) throw new TypeError("Line end or NUL in a header value");
    return value;
  }

  return {
    size: lines.reduce((sum, line) => sum + line.length + 2, 2),
    get: (name) => original[named(name)[0] ?? -1]?.value,
    getAll: (name) => named(name).map((i) => original[i]!.value),
    fields: () => original,
    prepend: (name, value) => void top.unshift(`${name}: ${checked(value)}`),
    append: (name, value) => void bottom.push(`${name}: ${checked(value)}`),
    replace(name, value, index = 0) {
      const at = named(name)[index];
      if (at === undefined) bottom.push(`${name}: ${checked(value)}`);
      else rows[at]!.value = checked(value);
    },
    remove(name, index) {
      const all = named(name);
      for (const at of index === undefined ? all : all.slice(index, index + 1)) {
        rows[at]!.gone = true;
      }
    },
    rename(name, to) {
      for (const at of named(name)) rows[at]!.name = to;
    },
    result: () => [
      ...top,
      ...rows.filter(({ gone }) => !gone).map(({ name, value }) => `${name}: ${value}`),
      ...bottom,
    ],
  };
}

/** Options as the host gives them to a plugin: validated and filled in. */
export async function parseOptions<T>(schema: OptionsSchema, value: unknown): Promise<T> {
  const result = await schema["~standard"].validate(value);
  if (result.issues !== undefined) throw new Error(result.issues[0]!.message);
  return result.value as T;
}

/** What a schema has to say about a value: `path: message` each. */
export async function optionFaults(
  schema: OptionsSchema,
  value: unknown,
): Promise<readonly string[]> {
  const result = await schema["~standard"].validate(value);
  return (result.issues ?? []).map(({ message, path = [] }) =>
    `${
      path.map((item) => String(typeof item === "object" ? item.key : item)).join(".")
    }: ${message}`
  );
}
