/**
 * The header block inside a worker: the fields as the host sent them. Edits are drafted over it and go back with the
 * answer.
 * @module
 */
import { HeaderDraft } from "../pipeline/header_draft.ts";
import type { HeaderView } from "../plugin/facts.ts";
import type { HeaderSnapshot } from "./protocol.ts";

/** A draft over what was sent. */
export function draftOf({ size, fields }: HeaderSnapshot): HeaderDraft {
  const byName = new Map<string, string[]>();
  for (const { name, value } of fields) {
    const key = name.toLowerCase();
    const values = byName.get(key);
    if (values === undefined) byName.set(key, [value]);
    else values.push(value);
  }
  const all = Object.freeze(fields.map((field) => Object.freeze(field)));
  const values = (name: string): readonly string[] => byName.get(String(name).toLowerCase()) ?? [];
  const base: HeaderView = {
    size,
    get: (name) => values(name)[0],
    getAll: (name) => [...values(name)],
    fields: () => all,
    prepend: unused,
    append: unused,
    replace: unused,
    remove: unused,
    rename: unused,
  };
  return new HeaderDraft(base);
}

/** A draft keeps its edits; the host makes them. */
function unused(): never {
  throw new TypeError("The header block cannot be edited here");
}
