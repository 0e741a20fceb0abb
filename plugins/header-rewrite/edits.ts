/**
 * The edits of one message: removed, replaced, renamed, added, in the order that the options have.
 *
 * Owns: what the rules make of one header block, and which signed fields that touches.
 * Never: spends more than a bounded time on patterns, whatever the header holds.
 * @module
 */
import type { HeaderView } from "@postern/postern/plugin";
import type { Condition, Facts } from "./conditions.ts";
import { SignedFields } from "./dkim.ts";
import { type Decoded, decodeValue, encodeValue, rewriteValue } from "./encoded_words.ts";
import { keysOf, namesIn, renamed } from "./names.ts";
import type { Rules } from "./options.ts";
import { longestMatched } from "./pattern.ts";
import { noGroups, textOf } from "./template.ts";

/**
 * Characters that the patterns of one message may look at. A pattern costs at most the square of one field's share, so a
 * header made to be slow is refused long before a second has gone by (CWE-1333).
 */
const budget = 200 * longestMatched;

/** A field on its way through the rules. */
interface Changing {
  readonly before: Decoded;
  text: string;
}

/** The fields of one name, and how it is written. */
interface Changed {
  readonly name: string;
  readonly fields: readonly Changing[];
}

/** What came of the rules. */
export interface Outcome {
  /** The header was made to be slow; nothing was edited. */
  readonly tooMuch: boolean;
  /** Fields whose signature an edit breaks, or would have. */
  readonly signed: ReadonlySet<string>;
}

const untouched: Outcome = { tooMuch: false, signed: new Set() };

/** One message's edits. */
export class Edits {
  readonly #rules: Rules;
  readonly #view: HeaderView;
  readonly #facts: Facts;
  #left = budget;
  #names: ReadonlyMap<string, string> | undefined;
  #signatures: SignedFields | undefined;
  #signed: Set<string> | undefined;
  /** By key: the numbers of the fields that go. */
  #removed: Map<string, Set<number> | "all"> | undefined;

  constructor(rules: Rules, view: HeaderView, facts: Facts) {
    this.#rules = rules;
    this.#view = view;
    this.#facts = facts;
  }

  run(): Outcome {
    const { remove, replace, rename, add } = this.#rules;
    const changed = remove.length + replace.length === 0 ? undefined : this.#judge();
    if (this.#left <= 0) return { ...untouched, tooMuch: true };
    if (changed !== undefined) {
      this.#replaceAll(changed);
      this.#removeAll();
    }
    if (rename.length > 0) this.#renameAll();
    if (add.length > 0) this.#addAll();
    return this.#signed === undefined ? untouched : { tooMuch: false, signed: this.#signed };
  }

  #applies(condition: Condition | undefined): boolean {
    return condition === undefined || condition(this.#facts);
  }

  #namesIn(): ReadonlyMap<string, string> {
    return this.#names ??= namesIn(this.#view);
  }

  /** What of a text the patterns see. */
  #seen(text: string): string {
    const part = text.length > longestMatched ? text.slice(0, longestMatched) : text;
    this.#left -= part.length + 1;
    return part;
  }

  /** What goes and what changes; nothing is edited yet, for there may be too much of it. */
  #judge(): ReadonlyMap<string, Changed> {
    const removed = this.#removed = new Map<string, Set<number> | "all">();
    const names = () => this.#namesIn();
    for (const { name, pattern, condition } of this.#rules.remove) {
      if (!this.#applies(condition)) continue;
      for (const key of keysOf(name, names)) {
        if (pattern === undefined) {
          removed.set(key, "all");
          continue;
        }
        const values = this.#view.getAll(key);
        for (let i = 0; i < values.length && this.#left > 0; i++) {
          if (!pattern.test(this.#seen(decodeValue(values[i]!).text))) continue;
          const gone = removed.get(key);
          if (gone === undefined) removed.set(key, new Set([i]));
          else if (gone !== "all") gone.add(i);
        }
      }
    }
    // Rules for one field build on each other; the view shows the fields as they came.
    const changed = new Map<string, Changed>();
    for (const rule of this.#rules.replace) {
      if (!this.#applies(rule.condition)) continue;
      for (const key of keysOf(rule.name, names)) {
        const gone = removed.get(key);
        if (gone === "all") continue;
        let entry = changed.get(key);
        if (entry === undefined) {
          const { name, around } = rule.name;
          entry = {
            name: around === undefined ? name : this.#namesIn().get(key) ?? key,
            fields: this.#view.getAll(key).map(changing),
          };
          changed.set(key, entry);
        }
        const { fields } = entry;
        for (let i = 0; i < fields.length && this.#left > 0; i++) {
          if (!gone?.has(i)) fields[i]!.text = this.#replaced(fields[i]!.text, rule);
        }
      }
    }
    return changed;
  }

  #replaced(text: string, { pattern, value }: Rules["replace"][number]): string {
    if (pattern === undefined) return textOf(value, this.#facts, noGroups);
    const part = this.#seen(text);
    return part.replace(pattern, (...found) => textOf(value, this.#facts, found)) +
      text.slice(part.length);
  }

  #replaceAll(changed: ReadonlyMap<string, Changed>): void {
    for (const [key, { name, fields }] of changed) {
      for (let i = 0; i < fields.length; i++) {
        const { before, text } = fields[i]!;
        if (text === before.text || this.#keeps(key, this.#byChange(key, i, fields.length))) {
          continue;
        }
        this.#view.replace(name, rewriteValue(before, text, this.#writing(name)), i);
      }
    }
  }

  #removeAll(): void {
    for (const [key, which] of this.#removed ?? []) {
      const present = this.#view.getAll(key).length;
      if (present === 0) continue;
      const numbers = which === "all" ? [...Array(present).keys()] : [...which];
      const going = numbers.filter((i) => !this.#keeps(key, this.#byChange(key, i, present)));
      if (going.length === present) this.#view.remove(key);
      else for (const i of going) this.#view.remove(key, i);
    }
  }

  #renameAll(): void {
    for (const { from, to, condition } of this.#rules.rename) {
      if (!this.#applies(condition)) continue;
      for (const key of keysOf(from, () => this.#namesIn())) {
        const present = this.#view.getAll(key).length;
        if (present === 0) continue;
        const name = from.around === undefined
          ? to.name
          : renamed(from, to, this.#namesIn().get(key) ?? key);
        const target = name.toLowerCase();
        const breaks = this.#byChange(key, present - 1, present) ||
          this.#signaturesOf().byBottom(target);
        if (!this.#keeps(key, breaks)) this.#view.rename(key, name);
      }
    }
  }

  #addAll(): void {
    for (const { name, key, value, plain, top, absent, condition } of this.#rules.add) {
      if (!this.#applies(condition)) continue;
      if (absent && this.#view.get(name) !== undefined) continue;
      const signed = this.#signaturesOf();
      const breaks = !signed.none &&
        (top ? signed.byTop(key, this.#view.getAll(name).length) : signed.byBottom(key));
      if (breaks && this.#keeps(key, true)) continue;
      const text = textOf(value, this.#facts, noGroups);
      const written = plain ? text : encodeValue(text, this.#writing(name));
      if (top) this.#view.prepend(name, written);
      else this.#view.append(name, written);
    }
  }

  #writing(name: string): { readonly column: number; readonly utf8: boolean } {
    return { column: name.length + 2, utf8: this.#facts.tx.params.smtputf8 === true };
  }

  /** A signature that is taken out is no longer there to be broken; one that is changed is broken itself. */
  #byChange(key: string, index: number, present: number): boolean {
    const signed = this.#signaturesOf();
    return !signed.none && (key === "dkim-signature" || signed.byChange(key, index, present));
  }

  #signaturesOf(): SignedFields {
    if (this.#signatures === undefined) {
      const gone = this.#removed?.get("dkim-signature") === "all";
      const signatures = gone ? [] : this.#view.getAll("DKIM-Signature");
      const latest = this.#view.get("ARC-Message-Signature");
      this.#signatures = new SignedFields(
        latest === undefined ? signatures : [...signatures, latest],
      );
    }
    return this.#signatures;
  }

  /** Notes that an edit breaks a signature; true where the field is therefore left as it is. */
  #keeps(key: string, breaks: boolean): boolean {
    if (!breaks) return false;
    (this.#signed ??= new Set()).add(key);
    return this.#rules.keepSigned;
  }
}

function changing(value: string): Changing {
  const before = decodeValue(value);
  return { before, text: before.text };
}
