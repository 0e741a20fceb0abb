/**
 * Reply hooks: another text, or another code of the same class. What is protocol and not words stays as it is: a SASL
 * challenge (334), the list of an EHLO reply.
 * @module
 */
import type { Hooks } from "../plugin/module.ts";
import type { Reply } from "../wire/reply.ts";
import { isReplyText, Nonsense } from "./answer.ts";
import { CallContext, isThenable, swallow } from "./hook.ts";
import { failed, type Host, type Step } from "./phase.ts";

/** The reply after every hook; the same object where none changed it. */
export function rewriteReply(
  host: Host,
  reply: Reply,
  steps: readonly Step<NonNullable<Hooks["reply"]>>[],
): Reply {
  if (reply.code === 334) return reply;
  let current = reply;
  for (let i = 0; i < steps.length; i++) {
    const { plugin, hook } = steps[i]!;
    try {
      const answer: unknown = hook(current, new CallContext(host.session));
      if (answer === undefined) continue;
      if (isThenable(answer)) {
        swallow(answer);
        throw new Nonsense("reply is answered at once");
      }
      const changed = rewritten(current, answer);
      if (!plugin.shadow) current = changed;
      if (reply.code >= 400) {
        host.trace.add({
          stage: "reply",
          plugin: plugin.name,
          verdict: "rewrite",
          code: changed.code,
          ms: 0,
          shadow: plugin.shadow,
        });
      }
    } catch (cause) {
      failed(host, plugin, "reply", undefined, cause, false);
    }
  }
  return current;
}

function rewritten(reply: Reply, answer: unknown): Reply {
  if (typeof answer !== "object" || answer === null) throw new Nonsense("The answer is no change");
  const raw = answer as { readonly code?: unknown; readonly text?: unknown };
  const code = raw.code ?? reply.code;
  const text = raw.text;
  const base = Math.trunc(reply.code / 100);
  if (typeof code !== "number" || !Number.isInteger(code) || Math.trunc(code / 100) !== base) {
    throw new Nonsense(`code is not of class ${base}`);
  }
  if (text !== undefined && !isReplyText(text)) {
    throw new Nonsense("text is not printable US-ASCII of a reply line's length");
  }
  const isList = reply.lines.length > 1 && reply.enhanced === undefined;
  if (base === 3 && code !== reply.code) throw new Nonsense("An intermediate reply keeps its code");
  const lines = text === undefined || isList ? reply.lines : [text];
  return { code, enhanced: reply.enhanced, lines };
}
