/**
 * The hooks of a plugin inside its worker, by the names that the line has for them: which there are, what they are given,
 * how their answers are read.
 * @module
 */
import { readAnswer, readLogin, readScram, type Stage } from "../pipeline/answer.ts";
import type { SessionFacts, TransactionFacts } from "../plugin/facts.ts";
import type { Plugin } from "../plugin/module.ts";
import type { ContentIn } from "./guest_content.ts";
import { ASKED, type AskedHook, TOLD, type ToldHook } from "./protocol.ts";

/** Any hook. */
export type Hook = AskedHook | ToldHook;
/** Any hook's function. */
export type Callable = (...args: unknown[]) => unknown;

/** What `mail` and `rcpt` are sent. */
export interface Envelope {
  readonly address: unknown;
  readonly params: unknown;
}

/** What a hook is given before its context. */
export function given(
  hook: AskedHook,
  input: unknown,
  session: SessionFacts | undefined,
  tx: TransactionFacts | undefined,
  content: ContentIn | undefined,
): unknown {
  switch (hook) {
    case "connect":
      return session;
    case "mail":
    case "rcpt":
      return (input as Envelope).address;
    case "scan":
      return content;
    case "data":
    case "end":
      return tx;
    default:
      return input;
  }
}

/** A copy of the answer, which can be cloned; throws what is wrong with it. */
export function copyOf(hook: AskedHook, answer: unknown): unknown {
  switch (hook) {
    case "scram":
      return readScram(answer);
    case "verify":
    case "scramChecked":
    case "token":
    case "certificate":
      return readLogin(answer, "");
    default: {
      const stage: Stage = hook === "scan" ? "body" : hook;
      return readAnswer(stage, answer);
    }
  }
}

/** It is told, not asked. */
export function isTold(hook: Hook): hook is ToldHook {
  return (TOLD as readonly string[]).includes(hook);
}

/** The hooks that there are. */
export function hooksOf({ hooks }: Plugin): Map<Hook, Callable> {
  const all = { ...hooks, ...hooks.on, ...hooks.auth, scan: hooks.body?.scan };
  const found = new Map<Hook, Callable>();
  for (const name of [...ASKED, ...TOLD]) {
    const hook = all[name];
    if (hook !== undefined) found.set(name, hook as Callable);
  }
  return found;
}

/** Hooks that have to answer in the same tick cannot be asked from another thread. */
export function unfitOf({ hooks }: Plugin): readonly string[] {
  const unfit = [
    [
      "hooks.body.transform",
      hooks.body?.transform,
      "it is called for each chunk and answers at once",
    ],
    ["hooks.body.flush", hooks.body?.flush, "it answers at once"],
    [
      "hooks.body.observe",
      hooks.body?.observe,
      "use hooks.body.scan, which reads the whole content",
    ],
    ["hooks.reply", hooks.reply, "it answers at once"],
  ] as const;
  return unfit.flatMap(([name, hook, why]) =>
    hook === undefined
      ? []
      : [`${name} does not work in a worker: ${why}; otherwise set isolation = "inline"`]
  );
}
