/**
 * A plugin in a worker as the pipeline sees it: an ordinary plugin whose hooks answer with promises.
 *
 * Header edits come with the answer and are made on the hook's own draft, which checks each of them; content is sent
 * behind the question.
 * @module
 */
import { Nonsense } from "../pipeline/answer.ts";
import { applyEdits } from "../pipeline/header_draft.ts";
import type { HeaderView, SessionFacts, TransactionFacts } from "../plugin/facts.ts";
import type { Authenticator, HookContext, Hooks, Observers, Plugin } from "../plugin/module.ts";
import type { HeaderEdit } from "../wire/headers.ts";
import { sendContent } from "./content.ts";
import type { Keeper } from "./keeper.ts";
import type { AskOptions } from "./line.ts";
import type { AskedHook, GuestShape, HeaderAnswer, ToldHook } from "./protocol.ts";

type Mutable<T> = { -readonly [K in keyof T]: T[K] };
type Ask = (
  hook: AskedHook,
  context: HookContext,
  question?: {
    readonly tx?: TransactionFacts;
    readonly input?: unknown;
    readonly header?: HeaderView | undefined;
    readonly asked?: NonNullable<AskOptions["asked"]>;
  },
) => Promise<any>;

/** Observers that have been told and have not come back, before no more are told. */
const TOLD_LIMIT = 1_000;

/** The plugin: a hook for each that the worker has. */
export function pluginOf(shape: GuestShape, keeper: Keeper): Plugin {
  const { name, onError, holdBody } = shape;
  const ask: Ask = async (hook, { session, signal }, { tx, input, header, asked } = {}) => {
    const block = header === undefined ? undefined : { size: header.size, fields: header.fields() };
    const answer = await keeper.ask((facts) => ({
      task: "hook",
      hook,
      session: facts.session(session),
      tx: tx === undefined ? undefined : facts.transaction(tx),
      input,
      header: block,
    }), { signal, ...(asked === undefined ? {} : { asked }) });
    return header === undefined ? answer : edited(header, answer as HeaderAnswer);
  };
  const all: Required<Omit<Hooks, "reply" | "on" | "auth">> = {
    connect: (_, context) => ask("connect", context),
    helo: (input, context) => ask("helo", context, { input }),
    mail: (address, context) =>
      ask("mail", context, { tx: context.tx, input: { address, params: context.params } }),
    rcpt: (address, context) =>
      ask("rcpt", context, { tx: context.tx, input: { address, params: context.params } }),
    data: (tx, context) => ask("data", context, { tx }),
    header: (header, context) => ask("header", context, { tx: context.tx, header }),
    body: {
      scan: (content, context) =>
        ask("scan", context, {
          tx: context.tx,
          header: context.header,
          asked: (call) => void sendContent(content, call),
        }),
    },
    end: (tx, context) => ask("end", context, { tx, header: context.header }),
  };
  const hooks: Mutable<Hooks> = { on: observersOf(shape, keeper) };
  for (const hook of shape.hooks) {
    if (hook === "scan") hooks.body = all.body;
    else if (isStage(hook)) Object.assign(hooks, { [hook]: all[hook] });
  }
  if (shape.mechanisms.length > 0) hooks.auth = authenticatorOf(shape, ask);
  return {
    name,
    hooks,
    close: () => keeper.close(),
    ...(onError === undefined ? {} : { onError }),
    ...(holdBody ? { holdBody } : {}),
  };
}

function authenticatorOf({ hooks: names, mechanisms }: GuestShape, ask: Ask): Authenticator {
  const all: Required<Omit<Authenticator, "mechanisms">> = {
    verify: (input, context) => ask("verify", context, { input: { ...input } }),
    scram: (input, context) => ask("scram", context, { input }),
    scramChecked: (input, context) => ask("scramChecked", context, { input: { ...input } }),
    token: (input, context) => ask("token", context, { input: { ...input } }),
    certificate: (input, context) => ask("certificate", context, { input: { ...input } }),
  };
  const { verify, scram, scramChecked, token, certificate } = all;
  return {
    mechanisms,
    ...(names.includes("verify") ? { verify } : {}),
    ...(names.includes("scram") ? { scram } : {}),
    ...(names.includes("scramChecked") ? { scramChecked } : {}),
    ...(names.includes("token") ? { token } : {}),
    ...(names.includes("certificate") ? { certificate } : {}),
  };
}

type Stage = Exclude<keyof Hooks, "auth" | "body" | "on" | "reply">;

function isStage(hook: AskedHook | ToldHook): hook is Stage {
  switch (hook) {
    case "connect":
    case "helo":
    case "mail":
    case "rcpt":
    case "data":
    case "header":
    case "end":
      return true;
    default:
      return false;
  }
}

/** The draft checks what is edited, the phase what is answered. */
function edited(header: HeaderView, { answer, edits }: HeaderAnswer): any {
  if (!Array.isArray(edits)) throw new Nonsense("The edits are not a list");
  applyEdits(header, edits as readonly HeaderEdit[]);
  return answer;
}

/** Each is told the worker where it wants to hear it; the end of a session always, for what is known of it is forgotten then. */
function observersOf({ hooks: names }: GuestShape, keeper: Keeper): Observers {
  let told = 0;
  const tell = async (
    hook: ToldHook,
    session: SessionFacts | undefined,
    tx: TransactionFacts | undefined,
    input: unknown,
  ): Promise<void> => {
    if (told >= TOLD_LIMIT) {
      keeper.ping();
      throw new Error(`${TOLD_LIMIT} events wait to be observed: one more is lost`);
    }
    told++;
    try {
      await keeper.ask((facts) => ({
        task: "hook",
        hook,
        session: session === undefined ? undefined : facts.session(session),
        tx: tx === undefined ? undefined : facts.transaction(tx),
        input,
        header: undefined,
      }));
    } finally {
      told--;
    }
  };
  const closed = (session: SessionFacts): Promise<void> =>
    names.includes("closed")
      ? tell("closed", session, undefined, undefined).finally(() => keeper.forget(session.id))
      : keeper.forget(session.id);
  const all: Required<Observers> = {
    opened: (session) => tell("opened", session, undefined, undefined),
    closed,
    delivered: (tx, outcome) => tell("delivered", tx.session, tx, outcome),
    refused: (tx, outcome) => tell("refused", tx.session, tx, outcome),
    errorReply: (session, reply) => tell("errorReply", session, undefined, reply),
    loginFailed: (session, user) => tell("loginFailed", session, undefined, user),
    reloaded: (plugins) => tell("reloaded", undefined, undefined, plugins),
  };
  const { opened, delivered, refused, errorReply, loginFailed, reloaded } = all;
  return {
    closed,
    ...(names.includes("opened") ? { opened } : {}),
    ...(names.includes("delivered") ? { delivered } : {}),
    ...(names.includes("refused") ? { refused } : {}),
    ...(names.includes("errorReply") ? { errorReply } : {}),
    ...(names.includes("loginFailed") ? { loginFailed } : {}),
    ...(names.includes("reloaded") ? { reloaded } : {}),
  };
}
