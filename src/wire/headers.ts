/**
 * The header block (RFC 5322 section 2.2): fields found by position, edits applied once, untouched octets left untouched.
 *
 * Reading sees the block as it came, whatever was edited: policies judge what the client sent, and do not depend on each
 * other's order. Edits are collected and applied in order, on the list that the earlier ones left. An `index` counts the
 * fields as they came; where that field is gone, `remove` does nothing and `replace` takes one that an edit added, or adds.
 *
 * Where the text begins with a line that is no field, all of it is body (see `header_fields.ts`): there is nothing to
 * read, and fields that are added get an empty line behind them, as Postfix does it, or the body's first lines would be
 * taken for theirs.
 * @module
 */
import { checkName, foldField } from "./fold.ts";
import { type Added, EditList, type HeaderEdit, type Kept } from "./header_edits.ts";
import {
  countFields,
  type Head,
  type Part,
  readHead,
  readParts,
  readValue,
} from "./header_fields.ts";

export type { HeaderEdit } from "./header_edits.ts";
export { findHeaderEnd, isHeadless, unfold } from "./header_fields.ts";

/** A header block in plain form (no transparency dots), and the edits asked for. Parses nothing until it is asked. */
export class HeaderBlock {
  readonly #block: Uint8Array;
  #readHead: Head | undefined;
  #readParts: Part[] | undefined;
  readonly #values: string[] = [];
  readonly #edits: HeaderEdit[] = [];
  /** The fields that were prepended, in wire form, top to bottom. */
  #onTop = "";
  /** The fields that were appended, likewise. */
  #below = "";
  #onlyAdded = true;

  /** The block with the empty line that ends it, or without one when the message has no body. Borrowed: it must not change. */
  constructor(block: Uint8Array) {
    this.#block = block;
  }

  /** Octets of the block as it came. */
  get size(): number {
    return this.#block.length;
  }

  /** True when an edit was asked for. */
  get edited(): boolean {
    return this.#edits.length > 0;
  }

  /** The edits asked for, in order. */
  get edits(): readonly HeaderEdit[] {
    return this.#edits;
  }

  /** Unfolded value of the first field of this name, leading white space removed; undefined where there is none. */
  get(name: string): string | undefined {
    const key = name.toLowerCase();
    const index = this.#parts.findIndex((part) => isNamed(part, key));
    return index < 0 ? undefined : this.#value(index);
  }

  /** Unfolded values of all fields of this name, top to bottom. */
  getAll(name: string): readonly string[] {
    const key = name.toLowerCase();
    const values: string[] = [];
    this.#parts.forEach((part, index) => {
      if (isNamed(part, key)) values.push(this.#value(index));
    });
    return values;
  }

  /** All fields, top to bottom. */
  fields(): readonly { readonly name: string; readonly value: string }[] {
    const fields: { readonly name: string; readonly value: string }[] = [];
    this.#parts.forEach(({ name }, index) => {
      if (name !== "") fields.push({ name, value: this.#value(index) });
    });
    return fields;
  }

  /** Fields of this name, counted without parsing the block. */
  count(name: string): number {
    return name === "" ? 0 : countFields(this.#block, this.#head, name);
  }

  /** Adds a field above all others. A bad name, CR, LF or NUL in the value, or a word too long for a line throw a `TypeError`. */
  prepend(name: string, value: string): void {
    this.edit({ edit: "prepend", name, value });
  }

  /** Adds a field below all others. Throws like `prepend`. */
  append(name: string, value: string): void {
    this.edit({ edit: "append", name, value });
  }

  /** Replaces the value of the field number `index` of this name; adds it where there is none. Throws like `prepend`. */
  replace(name: string, value: string, index = 0): void {
    this.edit({ edit: "replace", name, index, value });
  }

  /** Removes every field of this name, or only number `index`. */
  remove(name: string, index?: number): void {
    this.edit({ edit: "remove", name, index: index ?? "all" });
  }

  /** Gives every field of this name another name. A bad name throws a `TypeError`. */
  rename(name: string, to: string): void {
    this.edit({ edit: "rename", name, to });
  }

  /** Asks for one edit. What cannot be written throws here, not in `apply`. */
  edit(edit: HeaderEdit): void {
    if (edit.edit === "prepend") {
      this.#onTop = foldField(edit.name, edit.value) + this.#onTop;
    } else if (edit.edit === "append") {
      this.#below += foldField(edit.name, edit.value);
    } else {
      if (edit.edit === "rename") checkName(edit.to);
      else if (edit.edit !== "remove") foldField(edit.name, edit.value);
      this.#onlyAdded = false;
    }
    this.#edits.push(edit);
  }

  /** The block with all edits; the very same array where nothing changes. The empty line stays as it is. */
  apply(): Uint8Array {
    if (this.#edits.length === 0) return this.#block;
    // Most messages only get fields: that needs no list of those that came, and on top not even a parse.
    if (this.#onlyAdded) return this.#add(this.#onTop, this.#below);
    const list = new EditList(this.#parts);
    for (const edit of this.#edits) list.apply(edit);
    return list.changed ? this.#write(written(list.prepended.toReversed()), list) : this.#block;
  }

  /** Decoded once: policies ask for the same few fields. */
  #value(index: number): string {
    return this.#values[index] ??= readValue(this.#block, this.#parts[index]!);
  }

  get #head(): Head {
    return this.#readHead ??= readHead(this.#block);
  }

  get #parts(): readonly Part[] {
    return this.#readParts ??= readParts(this.#block, this.#head);
  }

  #add(onTop: string, below: string): Uint8Array {
    const { top, headless } = this.#head;
    const pieces: Piece[] = [this.#block.subarray(0, top)];
    addFields(pieces, onTop);
    let at = top;
    if (below !== "") {
      for (const part of this.#parts) {
        if (part.name === "") break;
        at = part.end;
      }
      if (at > top) pieces.push(this.#block.subarray(top, at));
      addFields(pieces, below);
    }
    if (headless) pieces.push("\r\n");
    pieces.push(this.#block.subarray(at));
    return concat(pieces);
  }

  #write(onTop: string, list: EditList): Uint8Array {
    const { top, headless } = this.#head;
    const pieces: Piece[] = [this.#block.subarray(0, top)];
    addFields(pieces, onTop);
    let at = top;
    for (const entry of list.kept.slice(0, list.run)) at = this.#keep(pieces, entry, at);
    const below = written(list.appended);
    addFields(pieces, below);
    for (const entry of list.kept.slice(list.run)) at = this.#keep(pieces, entry, at);
    if (headless && onTop + below !== "") pieces.push("\r\n");
    pieces.push(this.#block.subarray(at));
    return concat(pieces);
  }

  /** Writes one entry that came with the block; gives the offset behind it. */
  #keep(pieces: Piece[], entry: Kept, at: number): number {
    const { part } = entry;
    if (!entry.gone) {
      if (entry.value !== undefined) pieces.push(foldField(entry.name, entry.value));
      else if (entry.name === part.name) pieces.push(this.#block.subarray(at, part.end));
      else pieces.push(entry.name, this.#block.subarray(part.nameEnd, part.end));
    }
    return part.end;
  }
}

type Piece = Uint8Array | string;

const LF = 10;
const encoder = new TextEncoder();

function isNamed(part: Part, key: string): boolean {
  return part.key === key && key !== "";
}

function written(fields: readonly Added[]): string {
  return fields.map((field) => foldField(field.name, field.value)).join("");
}

function addFields(pieces: Piece[], lines: string): void {
  if (lines === "") return;
  // The last line of a message that came by BDAT may lack its CRLF.
  const before = pieces[pieces.length - 1] ?? "";
  if (before.length > 0 && before.at(-1) !== LF && before.at(-1) !== "\n") pieces.push("\r\n");
  pieces.push(lines);
}

function concat(pieces: readonly Piece[]): Uint8Array {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for (const piece of pieces) {
    const chunk = typeof piece === "string" ? encoder.encode(piece) : piece;
    if (chunk.length === 0) continue;
    chunks.push(chunk);
    size += chunk.length;
  }
  const out = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) {
    out.set(chunk, at);
    at += chunk.length;
  }
  return out;
}
