/**
 * The edits of a header block, applied in order to the list of its parts.
 *
 * Time is linear in parts and edits for edits by index, and linear in parts for each edit of a whole name.
 * @module
 */
import type { Part } from "./header_fields.ts";

/** One edit of a header block. Names compare case-insensitively; `index` counts fields of that name from 0 (top). */
export type HeaderEdit =
  | { readonly edit: "prepend"; readonly name: string; readonly value: string }
  | { readonly edit: "append"; readonly name: string; readonly value: string }
  | {
    readonly edit: "replace";
    readonly name: string;
    readonly index: number;
    readonly value: string;
  }
  | { readonly edit: "remove"; readonly name: string; readonly index: number | "all" }
  | { readonly edit: "rename"; readonly name: string; readonly to: string };

/** A field that an edit added. */
export interface Added {
  name: string;
  key: string;
  value: string;
}

/** A part that came with the block, and what became of it. */
export interface Kept {
  readonly part: Part;
  name: string;
  key: string;
  /** The new value, where it has one. */
  value: string | undefined;
  gone: boolean;
}

/** The list that edits work on. */
export class EditList {
  readonly kept: readonly Kept[];
  /** The last one stands on top. */
  prepended: Added[] = [];
  appended: Added[] = [];
  /** How many entries stand before the first that is no field: appended fields go there, as readers may end the header at it. */
  readonly run: number;
  changed = false;
  readonly #originals = new Map<string, Kept[]>();

  constructor(parts: readonly Part[]) {
    this.kept = parts.map((part) => this.#keep(part));
    const other = parts.findIndex((part) => part.name === "");
    this.run = other < 0 ? parts.length : other;
  }

  /** Applies one edit to what the earlier ones left. */
  apply(edit: HeaderEdit): void {
    const { name } = edit;
    const key = name.toLowerCase();
    switch (edit.edit) {
      case "prepend":
        return this.#add(this.prepended, { name, key, value: edit.value });
      case "append":
        return this.#add(this.appended, { name, key, value: edit.value });
      case "replace":
        return this.#replace({ name, key, value: edit.value }, edit.index);
      case "remove":
        return edit.index === "all"
          ? this.#removeAll(key)
          : this.#drop(this.#original(key, edit.index));
      case "rename":
        return this.#rename(key, edit.to);
    }
  }

  #keep(part: Part): Kept {
    const { name, key } = part;
    const entry = { part, name, key, value: undefined, gone: false };
    const same = this.#originals.get(key);
    if (same === undefined) this.#originals.set(key, [entry]);
    else same.push(entry);
    return entry;
  }

  #add(to: Added[], field: Added): void {
    this.changed = true;
    to.push(field);
  }

  #replace(field: Added, index: number): void {
    const entry = this.#original(field.key, index) ??
      this.#added().find((added) => added.key === field.key);
    if (entry === undefined) return this.#add(this.appended, field);
    this.changed = true;
    Object.assign(entry, field);
  }

  #removeAll(key: string): void {
    for (const entry of this.#named(key)) this.#drop(entry);
    const others = (added: Added) => added.key !== key;
    this.prepended = this.prepended.filter(others);
    this.appended = this.appended.filter(others);
  }

  #drop(entry: Kept | undefined): void {
    if (entry === undefined) return;
    this.changed = true;
    entry.gone = true;
  }

  #rename(key: string, to: string): void {
    const added = this.#added().filter((one) => one.key === key);
    for (const entry of [...this.#named(key), ...added]) {
      this.changed = true;
      entry.name = to;
      entry.key = to.toLowerCase();
    }
  }

  /** Field number `index` of this name as the block came, where it is still there under this name. */
  #original(key: string, index: number): Kept | undefined {
    const entry = this.#originals.get(key)?.[index];
    return entry === undefined || entry.gone || entry.key !== key ? undefined : entry;
  }

  #named(key: string): Kept[] {
    return this.kept.filter((entry) => entry.key === key && !entry.gone && key !== "");
  }

  #added(): Added[] {
    return [...this.prepended, ...this.appended];
  }
}
