/**
 * What host and worker say to each other: plain data that can be cloned, no live object.
 *
 * Either side numbers its own questions; an answer bears the question's number. Neither trusts the other's shape: the
 * host reads every answer as hostile (`pipeline/answer.ts`), for a plugin that has taken over its worker writes here.
 * @module
 */
import type { Mechanism } from "../plugin/module.ts";
import type { SessionFacts, TransactionFacts } from "../plugin/facts.ts";

/** How a plugin failed inside its worker. */
export interface GuestFailure {
  readonly kind: "threw" | "nonsense" | "over-budget";
  /** Of a time that is over: the milliseconds it had. */
  readonly message: string;
}

/** Where a plugin comes from: a bundled name, or what can be imported. */
export type GuestModule = { readonly bundled: string } | { readonly url: string };

/** A session's facts, as they are now, and the notes on it that the plugin's manifest reads. */
export interface SessionSnapshot {
  readonly facts: { readonly [K in keyof SessionFacts]: SessionFacts[K] };
  readonly notes: readonly NoteValue[];
}

/** What changed in a transaction's facts since the last question about it: lists only grow, and come from `from` on. */
export interface TransactionSnapshot {
  readonly facts: Omit<TransactionFacts, "session" | "recipients" | "symbols">;
  readonly recipients: Tail<TransactionFacts["recipients"][number]>;
  readonly symbols: Tail<TransactionFacts["symbols"][number]>;
  readonly notes: readonly NoteValue[];
}

/** The end of a list. */
export interface Tail<T> {
  readonly from: number;
  readonly items: readonly T[];
}

/** A note's name and value. */
export type NoteValue = readonly [name: string, value: unknown];

/** Stages and observers a worker can have; the rest needs an answer in the same tick. */
export const ASKED = [
  "connect",
  "helo",
  "verify",
  "scram",
  "scramChecked",
  "token",
  "certificate",
  "mail",
  "rcpt",
  "data",
  "header",
  "scan",
  "end",
] as const;
export const TOLD = [
  "opened",
  "closed",
  "delivered",
  "refused",
  "errorReply",
  "loginFailed",
  "reloaded",
] as const;

/** A hook that answers. */
export type AskedHook = typeof ASKED[number];
/** An observer. */
export type ToldHook = typeof TOLD[number];

/** What a started plugin has. */
export interface GuestShape {
  readonly name: string;
  readonly onError: "pass" | "tempfail" | "refuse" | undefined;
  readonly hooks: readonly (AskedHook | ToldHook)[];
  /** Of its authenticator. */
  readonly mechanisms: readonly Mechanism[];
  readonly holdBody: boolean;
}

/** The life of a plugin in its worker, each answered with a value or a failure. */
export type GuestTask =
  | { readonly task: "load"; readonly module: GuestModule }
  /** Answered with a Standard Schema result whose value is left out, or nothing where there is no schema. */
  | { readonly task: "validate"; readonly options: unknown }
  | {
    readonly task: "start";
    readonly options: unknown;
    /** Milliseconds; code that holds the thread for longer is broken off. */
    readonly budget: number;
    /** The folder of the configuration. */
    readonly baseDir: string;
  }
  | {
    readonly task: "hook";
    readonly hook: AskedHook | ToldHook;
    /** Undefined for what is of no session. */
    readonly session: SessionSnapshot | undefined;
    readonly tx: TransactionSnapshot | undefined;
    /** What the hook is given before its context. */
    readonly input: unknown;
    /** The header block that it may edit. */
    readonly header: HeaderSnapshot | undefined;
  }
  | { readonly task: "close" };

/** From the host. */
export type ToGuest =
  | { readonly say: "do"; readonly id: number; readonly now: number; readonly task: GuestTask }
  | { readonly say: "abort"; readonly id: number; readonly reason: string }
  | { readonly say: "chunk"; readonly id: number; readonly chunk: Uint8Array }
  | { readonly say: "end"; readonly id: number; readonly broken: string | undefined }
  | { readonly say: "told"; readonly id: number; readonly value: unknown }
  | { readonly say: "failed"; readonly id: number; readonly message: string }
  | { readonly say: "changed"; readonly watch: number; readonly now: number }
  | { readonly say: "forget"; readonly session: string }
  | { readonly say: "ping" };

/** Services that the host answers for. */
export type HostService =
  | "window"
  | "bucket"
  | "takeAll"
  | "seen"
  | "get"
  | "set"
  | "add"
  | "delete"
  | "readText"
  | "resolve"
  | "verify"
  | "hash";

/** From the worker. */
export type ToHost =
  | { readonly say: "done"; readonly id: number; readonly value: unknown }
  | { readonly say: "failed"; readonly id: number; readonly failure: GuestFailure }
  /** An observer rejected after it had been told. */
  | { readonly say: "late"; readonly failure: GuestFailure }
  /** The scanner has read this many octets, or wants no more. */
  | { readonly say: "read"; readonly id: number; readonly octets: number }
  | { readonly say: "enough"; readonly id: number }
  | {
    readonly say: "ask";
    readonly id: number;
    readonly service: HostService;
    readonly args: readonly unknown[];
  }
  | {
    readonly say: "log";
    readonly level: "debug" | "info" | "warn" | "error";
    readonly message: string;
    readonly fields: { readonly [name: string]: string | number | boolean };
  }
  | {
    readonly say: "metric";
    readonly kind: "count" | "observe";
    readonly name: string;
    readonly value: number;
  }
  | {
    readonly say: "note";
    readonly name: string;
    readonly session: string;
    readonly tx: string | undefined;
    readonly value: unknown;
  }
  | { readonly say: "watch"; readonly watch: number; readonly path: string }
  | { readonly say: "unwatch"; readonly watch: number }
  /** Something broke outside of any hook. */
  | { readonly say: "stray"; readonly message: string }
  | { readonly say: "pong" };

/** Octets of content on their way to a scanner that it has not read yet. */
export const CONTENT_WINDOW: number = 256 * 1024;

/** What a `load` comes to. */
export interface Loaded {
  readonly manifest: unknown;
  /** What its default export, and its export `options`, are by `typeof`. */
  readonly factory: string;
  readonly options: string;
}

/** What a hook that may edit the header is sent. */
export interface HeaderSnapshot {
  readonly size: number;
  readonly fields: readonly { readonly name: string; readonly value: string }[];
}

/** What the answer of a hook that was sent the header is. */
export interface HeaderAnswer {
  readonly answer: unknown;
  readonly edits: unknown;
}
