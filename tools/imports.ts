/**
 * What a TypeScript file imports, and which globals it names, read from its tokens. Comments, strings, templates and
 * regular expressions do not deceive it. It knows no grammar beyond that, which is enough for the tests of the house.
 * @module
 */

/** One `import`, `export ... from` or `import()`. */
export interface Import {
  readonly specifier: string;
  /** From 1. */
  readonly line: number;
  /** `type`: erased before the program runs. `dynamic`: loaded when it is reached. */
  readonly kind: "static" | "type" | "dynamic";
}

/** A name that stands by itself (not behind a dot, not a key before a colon). */
export interface Use {
  readonly name: string;
  readonly line: number;
}

/** What was found in a file. */
export interface Scan {
  readonly imports: readonly Import[];
  readonly uses: readonly Use[];
}

interface Token {
  readonly kind: "word" | "string" | "sign";
  readonly text: string;
  readonly line: number;
}

/** Scans the text of a file. */
export function scan(source: string): Scan {
  const tokens = tokenize(source);
  const imports: Import[] = [];
  const uses: Use[] = [];
  const at = (index: number) => tokens[index] ?? { kind: "sign", text: "", line: 0 } as const;
  for (const [index, token] of tokens.entries()) {
    if (token.kind !== "word") continue;
    const before = at(index - 1).text;
    const next = at(index + 1);
    if (before !== "." && before !== "?." && next.text !== ":") {
      uses.push({ name: token.text, line: token.line });
    }
    if (before === "." || (token.text !== "import" && token.text !== "export")) continue;
    if (token.text === "import" && next.text === "(") {
      const target = at(index + 2);
      if (target.kind === "string") {
        imports.push({ specifier: target.text, line: token.line, kind: "dynamic" });
      }
    } else if (token.text === "import" && next.kind === "string") {
      imports.push({ specifier: next.text, line: token.line, kind: "static" });
    } else {
      const specifier = fromClause(tokens, index);
      // "import type from" imports a value of that name.
      const erased = next.text === "type" && at(index + 2).text !== "from";
      if (specifier !== undefined) {
        imports.push({ specifier, line: token.line, kind: erased ? "type" : "static" });
      }
    }
  }
  return { imports, uses };
}

/** The string of `from "..."` where only names, braces, commas, stars and `as` stand between. */
function fromClause(tokens: readonly Token[], start: number): string | undefined {
  for (let index = start + 1; index < tokens.length; index++) {
    const token = tokens[index]!;
    if (token.text === "from" && token.kind === "word") {
      const target = tokens[index + 1];
      if (target?.kind === "string") return target.text;
    }
    if (token.kind === "string" || (token.kind === "sign" && !"{},*".includes(token.text))) {
      return undefined;
    }
    if (token.kind === "word" && DECLARATIONS.has(token.text)) return undefined;
  }
  return undefined;
}

const DECLARATIONS: ReadonlySet<string> = new Set([
  "abstract",
  "async",
  "class",
  "const",
  "declare",
  "enum",
  "function",
  "interface",
  "let",
  "namespace",
  "var",
]);

/** Words behind which a slash starts a regular expression. */
const BEFORE_EXPRESSION: ReadonlySet<string> = new Set([
  "await",
  "case",
  "delete",
  "do",
  "else",
  "in",
  "instanceof",
  "new",
  "of",
  "return",
  "throw",
  "typeof",
  "void",
  "yield",
]);

const WORD = /[\p{ID_Start}$_#][\p{ID_Continue}$\u200c\u200d]*/uy;
const NUMBER = /(?:0[xXbBoO][\da-fA-F_]+|\d[\d_]*\.?[\d_]*(?:[eE][+-]?\d+)?|\.\d[\d_]*)n?/y;
const REGEXP = /\/(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n[])+\/[a-z]*/uy;

function tokenize(source: string): Token[] {
  const tokens: Token[] = [];
  /** For each open template: how many braces are open inside its current `${`. */
  const templates: number[] = [];
  let line = 1;
  let index = 0;

  const match = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = index;
    return pattern.exec(source)?.[0];
  };
  const skipTo = (end: number) => {
    for (; index < end; index++) if (source[index] === "\n") line++;
  };
  /** From behind the opening quote, or behind the brace that ends a `${}`, to the end or the next `${`. */
  const template = () => {
    const first = line;
    const start = index;
    while (index < source.length) {
      const char = source[index];
      if (char === "`") {
        const text = source.slice(start, index++);
        tokens.push({ kind: "string", text, line: first });
        return;
      }
      if (char === "$" && source[index + 1] === "{") {
        index += 2;
        templates.push(0);
        tokens.push({ kind: "sign", text: "${", line });
        return;
      }
      skipTo(index + (char === "\\" ? 2 : 1));
    }
  };

  while (index < source.length) {
    const char = source[index]!;
    if (char === "\n" || char === " " || char === "\t" || char === "\r" || char === "\ufeff") {
      skipTo(index + 1);
    } else if (source.startsWith("//", index) || (index === 0 && source.startsWith("#!"))) {
      const end = source.indexOf("\n", index);
      skipTo(end === -1 ? source.length : end);
    } else if (source.startsWith("/*", index)) {
      const end = source.indexOf("*/", index + 2);
      skipTo(end === -1 ? source.length : end + 2);
    } else if (char === '"' || char === "'") {
      const first = line;
      const start = ++index;
      while (index < source.length && source[index] !== char && source[index] !== "\n") {
        skipTo(index + (source[index] === "\\" ? 2 : 1));
      }
      tokens.push({ kind: "string", text: source.slice(start, index), line: first });
      index++;
    } else if (char === "`") {
      index++;
      template();
    } else if (char === "}" && templates.at(-1) === 0) {
      templates.pop();
      index++;
      template();
    } else if (char === "/" && startsExpression(tokens.at(-1)) && match(REGEXP) !== undefined) {
      const text = match(REGEXP)!;
      tokens.push({ kind: "sign", text: "regexp", line });
      index += text.length;
    } else {
      const number = match(NUMBER);
      const word = number === undefined ? match(WORD) : undefined;
      const sign = source.startsWith("?.", index) ? "?." : char;
      if (sign === "{" && templates.length > 0) templates[templates.length - 1]!++;
      if (sign === "}" && templates.length > 0) templates[templates.length - 1]!--;
      if (word !== undefined) tokens.push({ kind: "word", text: word, line });
      else tokens.push({ kind: "sign", text: number === undefined ? sign : "number", line });
      index += (number ?? word ?? sign).length;
    }
  }
  return tokens;
}

function startsExpression(previous: Token | undefined): boolean {
  if (previous === undefined) return true;
  if (previous.kind === "word") return BEFORE_EXPRESSION.has(previous.text);
  if (previous.kind === "string") return false;
  return previous.text !== ")" && previous.text !== "]" && previous.text !== "}" &&
    previous.text !== "number" && previous.text !== "regexp";
}
