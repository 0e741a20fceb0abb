/**
 * The lines of Dovecot's authentication protocol, version 1: fields between tabs, each line ended by LF.
 * Pure; never throws at what the server says.
 * @module
 */

/** One line of the server. */
export interface Line {
  readonly command: string;
  /** Unescaped, in order. */
  readonly fields: readonly string[];
}

const ESCAPES: ReadonlyMap<string, string> = new Map([
  ["0", "\0"],
  ["1", "\x01"],
  ["t", "\t"],
  ["r", "\r"],
  ["n", "\n"],
]);
const LETTERS = new Map([...ESCAPES].map(([letter, octet]) => [octet, letter]));

/** A field's text with what would end it, or the line, escaped. */
export function escaped(text: string): string {
  return text.replace(/[\0\x01\t\r\n]/g, (octet) => `\x01${LETTERS.get(octet)}`);
}

/** One line, without its LF. */
export function parseLine(line: string): Line {
  const [command = "", ...fields] = line.split("\t");
  return { command, fields: fields.map(unescaped) };
}

function unescaped(text: string): string {
  return text.replace(/\x01([\s\S])/g, (_, letter: string) => ESCAPES.get(letter) ?? letter);
}

/** The value of a field `name=value`. */
export function valueOf(fields: readonly string[], name: string): string | undefined {
  const found = fields.find((field) => field.startsWith(`${name}=`));
  return found?.slice(name.length + 1);
}

/** What is told of a login. */
export interface Question {
  readonly service: string;
  readonly local: { readonly address: string; readonly port: number };
  readonly remote: { readonly address: string; readonly port: number };
  /** Under TLS. */
  readonly secured: boolean;
  readonly session: string;
  /** Base64 of PLAIN's message. */
  readonly response: string;
}

/** The line of a question. The response is the last field: nothing may follow it. */
export function formatQuestion(id: number, question: Question): string {
  const { service, local, remote, secured, session, response } = question;
  const ends = [["l", local], ["r", remote]] as const;
  const fields = [
    "AUTH",
    String(id),
    "PLAIN",
    `service=${escaped(service)}`,
    // Nobody will log in to a mailbox by this answer.
    "nologin",
    // Guessing is slowed down here; Dovecot's own delay by address would hold up a whole office for one of its people.
    "no-penalty",
    ...(secured ? ["secured"] : []),
    `session=${escaped(session)}`,
    // A unix socket has no address to tell.
    ...ends.flatMap(([side, { address, port }]) =>
      /^[0-9a-fA-F.:]+$/.test(address) ? [`${side}ip=${address}`, `${side}port=${port}`] : []
    ),
    `resp=${response}`,
  ];
  return `${fields.join("\t")}\n`;
}

/** What an answer comes to. */
export type Answer =
  | { readonly answer: "ok"; readonly user: string | undefined }
  | { readonly answer: "wrong" }
  /** The server cannot judge now. */
  | { readonly answer: "later" }
  /** It asks on, which nobody does after PLAIN's only message. */
  | { readonly answer: "nonsense" };

/** The answer and the question it belongs to; undefined for a line that is no answer. */
export function readAnswer({ command, fields }: Line): [id: number, answer: Answer] | undefined {
  const [first = "", ...rest] = fields;
  if (!/^[0-9]{1,10}$/.test(first)) return undefined;
  const id = Number(first);
  switch (command) {
    case "OK":
      return [id, { answer: "ok", user: valueOf(rest, "user") }];
    case "FAIL":
      return [id, {
        answer: rest.includes("temp") || valueOf(rest, "code") === "temp_fail" ? "later" : "wrong",
      }];
    case "CONT":
      return [id, { answer: "nonsense" }];
    default:
      return undefined;
  }
}
