/**
 * Where in a TOML text a key or a value stands.
 *
 * Owns: the second, position-keeping reading of a text whose values were read already.   Never: throws, decides about values.
 * @module
 */
import { type AST, parseTOML } from "toml-eslint-parser";
import type { Path } from "./problem.ts";

/** A position in a text, both from 1; columns count UTF-16 units. */
export interface Place {
  /** From 1. */
  readonly line: number;
  /** From 1. */
  readonly column: number;
}

/** Positions of a text's keys and values. */
export interface Places {
  /** Place of the value at the path, or of its key; of the innermost table or list around it when it is not there. */
  of(path: Path, at?: "value" | "key"): Place;
}

/** Keys are looked up in a `Map`: `__proto__` and `constructor` are keys like any other (R34). */
interface Node {
  key: Place | undefined;
  value: Place | undefined;
  readonly children: Map<string | number, Node>;
}

/** Indexes a text; undefined when it is not TOML. Linear in its length. */
export function places(text: string): Places | undefined {
  let root: Node;
  try {
    // A byte order mark is no column, and this parser, unlike the one that reads the values, does not know it.
    root = index(parseTOML(text.replace(/^\ufeff/, "")));
  } catch {
    return undefined;
  }
  return {
    of(path, at = "value") {
      let node = root;
      let found = true;
      for (const key of path) {
        const child = node.children.get(key);
        if (!child) {
          found = false;
          break;
        }
        node = child;
      }
      const place = found && at === "key" ? node.key ?? node.value : node.value;
      return place ?? { line: 1, column: 1 };
    },
  };
}

/**
 * Place of the value at a path of a TOML text, for errors that are found after the configuration has been read (a plugin's
 * options). A path that is not there gives the innermost table or list around it; undefined when the text is not TOML.
 *
 * @example
 * ```ts
 * import { locate } from "./places.ts";
 *
 * locate("[[plugins]]\nuse = 5\n", ["plugins", 0, "use"]); // { line: 2, column: 7 }
 * ```
 */
export function locate(text: string, path: Path): Place | undefined {
  return places(text)?.of(path);
}

function index(program: AST.TOMLProgram): Node {
  const root = emptyNode();
  root.value = { line: 1, column: 1 };
  for (const item of program.body[0].body) {
    if (item.type === "TOMLKeyValue") {
      addKeyValue(root, item);
      continue;
    }
    const header = start(item);
    let node = root;
    let named = 0;
    for (const step of item.resolvedKey) {
      node = child(node, step);
      const name = typeof step === "string" ? item.key.keys[named++] : undefined;
      node.key ??= name ? start(name) : header;
      node.value ??= header;
    }
    for (const pair of item.body) addKeyValue(node, pair);
  }
  return root;
}

function addKeyValue(parent: Node, pair: AST.TOMLKeyValue): void {
  let node = parent;
  for (const key of pair.key.keys) {
    node = child(node, key.type === "TOMLBare" ? key.name : key.value);
    node.key ??= start(key);
    node.value ??= start(key);
  }
  addValue(node, pair.value);
}

function addValue(node: Node, value: AST.TOMLContentNode): void {
  node.value = start(value);
  if (value.type === "TOMLArray") {
    for (const [position, element] of value.elements.entries()) {
      addValue(child(node, position), element);
    }
  } else if (value.type === "TOMLInlineTable") {
    for (const pair of value.body) addKeyValue(node, pair);
  }
}

function child(node: Node, key: string | number): Node {
  let found = node.children.get(key);
  if (!found) node.children.set(key, found = emptyNode());
  return found;
}

function emptyNode(): Node {
  return { key: undefined, value: undefined, children: new Map() };
}

function start(node: { readonly loc: AST.SourceLocation }): Place {
  return { line: node.loc.start.line, column: node.loc.start.column + 1 };
}
