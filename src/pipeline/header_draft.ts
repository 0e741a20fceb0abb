/**
 * The header block as one hook sees it: reads go to the driver's view, edits are kept and committed only when the hook
 * has answered well. So a failed hook leaves no half of its edits, a shadow hook leaves none, and a cancelled one
 * cannot edit a block that is already on its way.
 * @module
 */
import type { HeaderView } from "../plugin/facts.ts";
import { checkName, foldField } from "../wire/fold.ts";
import type { HeaderEdit } from "../wire/headers.ts";

/** Bounds what one hook can add. */
const EDITS_LIMIT = 1000;

function checkIndex(index: unknown): void {
  if (typeof index !== "number" || !Number.isInteger(index) || index < 0) {
    throw new TypeError("A header field's index counts from 0");
  }
}

/** One hook's draft of edits. */
export class HeaderDraft implements HeaderView {
  readonly #base: HeaderView;
  readonly #edits: HeaderEdit[] = [];
  #open = true;

  constructor(base: HeaderView) {
    this.#base = base;
  }

  get size(): number {
    return this.#base.size;
  }
  get(name: string): string | undefined {
    return this.#base.get(name);
  }
  getAll(name: string): readonly string[] {
    return this.#base.getAll(name);
  }
  fields(): readonly { readonly name: string; readonly value: string }[] {
    return this.#base.fields();
  }
  /** What cannot be written throws here, at the plugin's own line. */
  prepend(name: string, value: string): void {
    foldField(name, value);
    this.#add({ edit: "prepend", name, value });
  }
  append(name: string, value: string): void {
    foldField(name, value);
    this.#add({ edit: "append", name, value });
  }
  replace(name: string, value: string, index = 0): void {
    foldField(name, value);
    checkIndex(index);
    this.#add({ edit: "replace", name, index, value });
  }
  remove(name: string, index?: number): void {
    checkName(name);
    if (index !== undefined) checkIndex(index);
    this.#add({ edit: "remove", name, index: index ?? "all" });
  }
  rename(name: string, to: string): void {
    checkName(name);
    checkName(to);
    this.#add({ edit: "rename", name, to });
  }

  /** A hook that was cancelled may still run: what it edits then is not heard. It must not throw either, for nobody would catch it. */
  #add(edit: HeaderEdit): void {
    if (!this.#open) return;
    if (this.#edits.length >= EDITS_LIMIT) {
      throw new RangeError(`More than ${EDITS_LIMIT} header edits of one plugin`);
    }
    this.#edits.push(edit);
  }

  /** Ends the draft; gives its edits. */
  static close(draft: HeaderDraft): readonly HeaderEdit[] {
    draft.#open = false;
    return draft.#edits;
  }
}

/** The draft's edits; made in the driver's view where they are committed. */
export function closeDraft(
  view: HeaderView,
  draft: HeaderDraft | undefined,
  commit: boolean,
): readonly HeaderEdit[] | undefined {
  if (draft === undefined) return undefined;
  const edits = HeaderDraft.close(draft);
  if (commit) applyEdits(view, edits);
  return edits;
}

/** Makes the edits in a view; what cannot be written throws where the view checks it. */
export function applyEdits(view: HeaderView, edits: readonly HeaderEdit[]): void {
  for (const edit of edits) {
    switch (edit.edit) {
      case "prepend":
        view.prepend(edit.name, edit.value);
        break;
      case "append":
        view.append(edit.name, edit.value);
        break;
      case "replace":
        view.replace(edit.name, edit.value, edit.index);
        break;
      case "remove":
        if (edit.index === "all") view.remove(edit.name);
        else view.remove(edit.name, edit.index);
        break;
      case "rename":
        view.rename(edit.name, edit.to);
        break;
    }
  }
}
