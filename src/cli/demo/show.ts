/**
 * What the demo prints, in its order: what it has made, what became of each message, what happens to the reader's own.
 * @module
 */
import * as path from "node:path";
import { runtimeName } from "../../runtime/process.ts";
import { transactionEntry } from "../../server/history_entry.ts";
import type { TransactionRecord } from "../../server/record.ts";
import { deliveredFiles } from "./files.ts";
import { type DemoFolder, WORLD } from "./folder.ts";
import type { DemoMessage } from "./messages.ts";
import type { DemoServer } from "./server.ts";
import { entryText, paintFate } from "../explain/text.ts";
import type { CliIo } from "../io.ts";
import { visible } from "../../settings/problem.ts";
import { hanging, type Styles, styles, table } from "../output.ts";
import { endpointText } from "../ready_line.ts";
import type { SendResult } from "../send/client.ts";

/** What became of one of the demo's own messages. */
export interface Played {
  readonly message: DemoMessage;
  readonly result: SendResult;
  /** Undefined where the transaction did not come so far. */
  readonly record: TransactionRecord | undefined;
}

/** Prints, one thing after the other. */
export class DemoShow {
  readonly #io: CliIo;
  readonly #style: Styles;
  readonly #folder: DemoFolder;
  readonly #server: DemoServer;
  readonly #log: LogLine[] = [];
  #count = 0;
  /** The last thing printed was a line of the log. */
  #afterLog = false;

  constructor(io: CliIo, folder: DemoFolder, server: DemoServer) {
    this.#io = io;
    this.#style = styles(io);
    this.#folder = folder;
    this.#server = server;
  }

  /** What there is. */
  intro(): void {
    const { bold, dim } = this.#style;
    const { settings, running } = this.#server;
    const folder = this.#folder;
    const listeners = settings.listeners.map(({ name, auth }): [string, string] => {
      const address = running.addresses.get(name);
      const where = address === undefined ? "" : endpointText(address);
      return [name, `${where}, STARTTLS${auth === "required" ? " and login" : ""}`];
    });
    const rows: readonly (readonly [string, string])[] = [
      ["folder", `${folder.path}${folder.temporary ? dim(" (removed at the end)") : ""}`],
      ["certificate", `self-signed, for ${settings.hostname}`],
      ...listeners,
      ["user", `${WORLD.user}, password ${folder.password}`],
      ["mailboxes", `mail/ for ${WORLD.domain}, world/ for everybody else (Maildir)`],
      ["policies", running.pipeline.plugins.join(", ")],
    ];
    this.#io.stdout(
      `${bold("Postern demo")} ${dim(`on ${runtimeName()}`)}\n\n` +
        `${table(rows.map(([label, text]) => [dim(label), text]), "   ")}\n`,
    );
  }

  /** One of the demo's own messages; true where it came as promised. */
  async played({ message, result, record }: Played): Promise<boolean> {
    const files = record === undefined ? [] : await this.#files(record);
    const problem = broken(message, record, files);
    this.#io.stdout(
      this.#heading(message.title, record?.fate ?? "not sent") +
        (record === undefined ? hanging("   ", resultText(result)) : this.#record(record, files)) +
        (problem === undefined
          ? ""
          : hanging("   ", this.#style.red(`Not as promised: ${problem}`))) +
        "\n",
    );
    return problem === undefined;
  }

  /** A message of the reader's. */
  async visited(record: TransactionRecord): Promise<void> {
    const files = await this.#files(record);
    const { from } = record.transaction;
    const title = `From ${from === null ? "<>" : from.address}`;
    this.#io.stdout(
      `\n${this.#heading(title, record.fate)}${this.#record(record, files)}`,
    );
  }

  /** Lines of the log: those about a message wait for its end, the others are given back. */
  heard(lines: string): readonly LogLine[] {
    const read = lines.split("\n").map(logLine).filter((line) => line !== undefined);
    this.#log.push(...read.filter(({ tx }) => tx !== undefined));
    this.#log.splice(0, this.#log.length - LOG_KEPT);
    return read.filter(({ tx, level, text }) =>
      tx === undefined && !(level === "info" && isRecord(text))
    );
  }

  /** What the log says beside the records: a denied recipient, a failed login. */
  logged(lines: string): void {
    const { red, dim } = this.#style;
    for (const { level, text } of this.heard(lines)) {
      const paint = level === "error" ? red : dim;
      this.#io.stdout(
        `${this.#afterLog ? "" : "\n"}${hanging(`${paint("log")}  `, paint(visible(text)))}`,
      );
      this.#afterLog = true;
    }
  }

  #heading(title: string, fate: TransactionRecord["fate"] | "not sent"): string {
    this.#count++;
    this.#afterLog = false;
    const { bold, yellow } = this.#style;
    const shown = fate === "not sent" ? yellow(fate) : paintFate(fate, this.#style);
    return `${bold(`${this.#count}. ${title}`)}: ${shown}\n`;
  }

  #record(record: TransactionRecord, files: readonly string[]): string {
    this.#server.running.log.flush();
    const log = this.#log.filter(({ tx }) => tx === record.transaction.id).map(({ text }) => text);
    return entryText(transactionEntry(record, Date.now()), this.#style, { id: true, files, log });
  }

  async #files(record: TransactionRecord): Promise<readonly string[]> {
    const files = await deliveredFiles(record, this.#server.settings);
    return files.map((file) => path.relative(this.#folder.path, file));
  }
}

/** Lines about messages that wait for their message's end. */
const LOG_KEPT = 200;

interface LogLine {
  readonly level: string;
  /** The transaction that a policy wrote it about. */
  readonly tx: string | undefined;
  readonly text: string;
}

/** Reads a line of the human form: time, level, message, fields. */
function logLine(line: string): LogLine | undefined {
  const [, level, said] = /^\S+ (\w+)\s+(.*)$/.exec(line) ?? [];
  if (level === undefined || said === undefined) return undefined;
  const tx = / tx=(\S+)/.exec(said)?.[1];
  const plugin = / plugin=(\S+)/.exec(said)?.[1];
  const text = said.replace(/ (?:tx|plugin)=\S+/g, "");
  return { level, tx, text: plugin === undefined ? text : `${plugin}: ${text}` };
}

/** Lines that say less than the record does. */
function isRecord(text: string): boolean {
  return /^(?:delivered|refused|deferred|discarded|aborted|unknown|draining)\b/.test(text);
}

function broken(
  { promise, to }: DemoMessage,
  record: TransactionRecord | undefined,
  files: readonly string[],
): string | undefined {
  if (record === undefined) return `it should be ${promise.fate}`;
  if (record.fate !== promise.fate || record.reply?.code !== promise.code) {
    return `it should be ${promise.fate} with ${promise.code}`;
  }
  const wanted = promise.fate === "delivered" ? to.length : 0;
  return files.length === wanted
    ? undefined
    : `it should be in ${wanted} mailboxes and is in ${files.length}`;
}

function resultText(result: SendResult): string {
  switch (result.outcome) {
    case "failed":
    case "impossible":
      return `The proxy ${result.why}`;
    default:
      return `The proxy said ${result.reply.code} ${result.reply.enhanced ?? ""}`.trimEnd();
  }
}
