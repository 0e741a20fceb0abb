/**
 * Help texts, made from the commands' descriptions.
 * @module
 */
import { COMMON_FLAGS } from "./args.ts";
import type { CommandSpec, FlagSpec } from "./args.ts";
import type { CliIo } from "./io.ts";
import { styles, table, wrap } from "./output.ts";
import type { Styles } from "./output.ts";
import { SPECS } from "./specs.ts";

const COLUMNS = 100;

/** The program's own help. */
export function programHelp(io: CliIo): string {
  const style = styles(io);
  return `Postern, a programmable edge SMTP proxy

${style.bold("Usage:")} postern COMMAND [OPTIONS]

${style.bold("Commands:")}
${commandTable(SPECS, style)}
${style.bold("Options of every command:")}
${flagTable(COMMON_FLAGS, style)}
Run "postern help COMMAND" for the options of a command.
`;
}

/** Help for the first word of several commands. */
export function groupHelp(io: CliIo, name: string, specs: readonly CommandSpec[]): string {
  const style = styles(io);
  return `${style.bold("Usage:")} postern ${name} COMMAND [OPTIONS]

${style.bold("Commands:")}
${commandTable(specs, style)}
Run "postern help ${name} COMMAND" for the options of a command.
`;
}

/** Help for one command. */
export function commandHelp(io: CliIo, spec: CommandSpec): string {
  const style = styles(io);
  const parts = [`${spec.summary}\n`, `${style.bold("Usage:")} ${usage(spec)}\n`];
  if (spec.details !== undefined) {
    parts.push(spec.details.map((paragraph) => wrap(paragraph, COLUMNS)).join("\n"));
  }
  const words = Object.values(spec.words);
  if (words.length > 0) {
    const rows = words.map((word) => [style.cyan(word.value), word.description]);
    parts.push(`${style.bold("Arguments:")}\n${table(rows, "  ")}`);
  }
  const flags = { ...spec.flags, ...COMMON_FLAGS };
  parts.push(`${style.bold("Options:")}\n${flagTable(flags, style)}`);
  if (spec.examples !== undefined) {
    parts.push(
      `${style.bold("Examples:")}\n${spec.examples.map((line) => `  ${line}\n`).join("")}`,
    );
  }
  return parts.join("\n");
}

function usage(spec: CommandSpec): string {
  const words = Object.values(spec.words).map((word) => {
    const value = word.many === true ? `${word.value}...` : word.value;
    return word.required ? value : `[${value}]`;
  });
  return ["postern", spec.name, "[OPTIONS]", ...words].join(" ");
}

function commandTable(specs: readonly CommandSpec[], style: Styles): string {
  return table(specs.map((spec) => [style.cyan(spec.name), spec.summary]), "  ");
}

function flagTable(flags: Readonly<Record<string, FlagSpec>>, style: Styles): string {
  const rows = Object.entries(flags).map(([name, flag]) => {
    const short = flag.short === undefined ? "   " : `-${flag.short},`;
    const value = flag.kind === "boolean" ? "" : ` ${flag.value ?? "TEXT"}`;
    const fallback = flag.default === undefined ? "" : style.dim(` (default ${flag.default})`);
    return [`${style.cyan(`${short} --${name}`)}${value}`, `${flag.description}${fallback}`];
  });
  return table(rows, "  ");
}
