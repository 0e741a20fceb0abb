/**
 * `postern learn ham PATH...`, `postern learn spam PATH...`, `postern learn forget PATH...`.
 * @module
 */
import { CliError, EXIT } from "../errors.ts";
import type { CliIo } from "../io.ts";
import { withProgress } from "../output.ts";
import { readMessage } from "./message.ts";
import { openModel } from "./model.ts";
import { messagesOf } from "./sources.ts";

/** What became of the messages. */
interface Tally {
  changed: number;
  /** Learned as this already; or, to be forgotten, never learned. */
  same: number;
  strange: number;
}

/** Learns, or takes back, every message of the paths. */
export async function teach(
  io: CliIo,
  verb: "ham" | "spam" | "forget",
  paths: readonly string[],
  file: string,
): Promise<number> {
  const model = await openModel(io, file, verb === "forget");
  const { counts } = model;
  const tally: Tally = { changed: 0, same: 0, strange: 0 };
  await withProgress(io, verb === "forget" ? "Forgetting" : "Learning", async (count) => {
    for (const name of paths) {
      for await (const octets of messagesOf(name, io)) {
        const message = readMessage(octets);
        if (message === undefined) tally.strange++;
        else if (
          verb === "forget"
            ? counts.forget(message.hash, message.tokens)
            : counts.learn(message.hash, verb, message.tokens)
        ) tally.changed++;
        else tally.same++;
        count(tally.changed + tally.same + tally.strange);
      }
    }
  });
  if (tally.changed + tally.same === 0) {
    throw new CliError(`Found no message in ${paths.join(", ")}`);
  }
  const tokens = tally.changed > 0 ? await model.save() : counts.tokens.size;
  io.stdout(report(verb, tally));
  io.stdout(`${file}: ${messages(counts.ham)} of ham, ${counts.spam} of spam, ${tokens} tokens\n`);
  return EXIT.done;
}

function report(verb: "ham" | "spam" | "forget", { changed, same, strange }: Tally): string {
  const done = verb === "forget"
    ? `Forgot ${messages(changed)}`
    : `Learned ${messages(changed)} as ${verb}`;
  const known = verb === "forget" ? `${same} never learned` : `${same} known already`;
  const rest = [...same > 0 ? [known] : [], ...strange > 0 ? [`${strange} not a message`] : []];
  return `${done}${rest.length === 0 ? "" : ` (${rest.join(", ")})`}\n`;
}

function messages(count: number): string {
  return count === 1 ? "1 message" : `${count} messages`;
}
