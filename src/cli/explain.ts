/**
 * `postern explain`: what became of one transaction, or of all of a session, and why; from the history under `data_dir`.
 *
 * Never: asks the running proxy; it may have ended long ago.
 * @module
 */
import * as path from "node:path";
import { historyReader } from "../assembly/history.ts";
import { quote, visible } from "../settings/problem.ts";
import type { Settings } from "../settings/settings.ts";
import type { HistoryEntry, HistoryReader } from "../telemetry/history.ts";
import { CliError, EXIT } from "./errors.ts";
import { entryText, paintFate } from "./explain/text.ts";
import type { Run } from "./io.ts";
import { loadConfiguration } from "./load_configuration.ts";
import { styles } from "./output.ts";
import type { explainSpec } from "./specs.ts";

/** Where the history is, and what is kept of it, where that is known. */
type Place = Pick<Settings, "dataDir"> & Partial<Pick<Settings, "trace">>;

/** Ids that a hint tells. */
const HINTS = 5;

export const run: Run<typeof explainSpec> = async ({ words, flags }, io) => {
  const given = flags["data-dir"];
  const place: Place = given === undefined
    ? (await loadConfiguration(flags.config, io)).settings
    : { dataDir: path.resolve(io.cwd, given) };
  const history = historyReader(place.dataDir);
  const entries = await entriesOf(words.id, history, place);
  if (flags.json) {
    for (const entry of entries) io.stdout(`${JSON.stringify(entry)}\n`);
    return EXIT.done;
  }
  const style = styles(io);
  const texts = entries.map((entry) => {
    const when = style.dim(new Date(entry.time).toISOString());
    return `${style.bold(visible(entry.id))}: ${paintFate(entry.fate, style)} ${when}\n${
      entryText(entry, style)
    }`;
  });
  io.stdout(texts.join("\n"));
  return EXIT.done;
};

/** Those of exactly this id, else those of the one session whose id begins so. */
async function entriesOf(
  id: string,
  history: HistoryReader,
  place: Place,
): Promise<readonly HistoryEntry[]> {
  const found = await history.find(id);
  const exact = found.filter((entry) => entry.id === id || entry.session.id === id);
  if (exact.length > 0) return exact;
  const sessions = [...new Set(found.map(({ session }) => session.id))];
  if (sessions.length === 1) return found;
  if (sessions.length > 1) {
    const some = sessions.slice(-HINTS).toReversed().join(", ");
    throw new CliError(
      `Cannot explain ${quote(id)}: ${sessions.length} sessions begin so, ${some} among them`,
    );
  }
  throw new CliError(`Cannot explain ${quote(id)}: ${await absence(history, place)}`);
}

async function absence(history: HistoryReader, { trace, dataDir }: Place): Promise<string> {
  const newest = await history.recent(HINTS);
  if (newest.length > 0) {
    const list = newest.map((entry) => `${entry.id} (${entry.fate})`).join(", ");
    const left = trace?.history === "notable"
      ? ' (deliveries that no policy had anything to say to are kept with [trace] history = "all")'
      : "";
    return `the history has no such id; the newest are ${list}${left}`;
  }
  return trace?.history === "none"
    ? 'no history is kept: [trace] history = "none"'
    : `there is no history in ${dataDir}`;
}
