/**
 * The classifier of a running server: read from the model file, and again whenever `postern learn` has replaced it.
 *
 * What cannot be read leaves the classifier as it was: mail is judged by what was learned before, or by the rules alone.
 * @module
 */
import type { Edge } from "@postern/postern/plugin";
import { Classifier, parseModel } from "./bayes.ts";

/** A classifier that follows its file. */
export interface Trained {
  /** Undefined while too little was learned. */
  readonly classifier: Classifier | undefined;
  /** Ends the watch. */
  stop(): void;
}

/** Reads the model and follows it. */
export async function followModel(
  edge: Edge,
  { model, min_messages }: { readonly model: string; readonly min_messages: number },
): Promise<Trained> {
  let classifier: Classifier | undefined;
  let latest = 0;

  async function load(): Promise<void> {
    const mine = ++latest;
    let text: string;
    try {
      text = await edge.readText(model);
    } catch (cause) {
      edge.log.warn("Cannot read spam model, what was learned before counts", {
        file: model,
        cause: cause instanceof Error ? cause.message : String(cause),
      });
      return;
    }
    // Two changes in a row: only the newest reading counts.
    if (mine !== latest) return;
    const counts = parseModel(text);
    if ("problem" in counts) {
      edge.log.error("Spam model is broken, what was learned before counts", {
        file: model,
        cause: counts.problem,
      });
      return;
    }
    const { ham, spam } = counts;
    if (ham < min_messages || spam < min_messages) {
      classifier = undefined;
      edge.log.warn("Spam model has learned too little yet, the rules judge alone", {
        file: model,
        ham,
        spam,
        min_messages,
      });
      return;
    }
    classifier = new Classifier(counts);
    edge.log.info("Spam model read", { file: model, ham, spam, tokens: classifier.size });
  }

  const stop = edge.watchFile(model, () => void load());
  await load();
  return {
    get classifier() {
      return classifier;
    },
    stop,
  };
}
