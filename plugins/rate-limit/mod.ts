/**
 * rate-limit: how much one address, network, login, sender or domain may do in a time.
 *
 * Owns: the keys, the replies. Never: makes a promise where the state answers at once.
 * Limits count what was asked for, not what was delivered: a message refused later has been counted.
 * @module
 */
import type {
  Defer,
  Delay,
  Drop,
  Edge,
  Hooks,
  Mailbox,
  Manifest,
  OptionsSchema,
  PluginModule,
  Refuse,
  ReversePath,
  SessionFacts,
  Take,
} from "@postern/postern/plugin";
import { networkKey, within } from "../shared/network.ts";
import { compileRules, type Count, type Options, type Rule, schema } from "./options.ts";

/** Options, as the operator writes them. */
export const options: OptionsSchema = schema;

/** What the plugin says of itself. */
export const manifest: Manifest = { version: "1.0.0" };

export type { Options };

type Limited = Defer | Refuse | Drop | Delay;

/** Facts that keys are made of; `from` and `to` are undefined where the stage has none. */
interface Subject {
  readonly session: SessionFacts;
  readonly from: ReversePath | undefined;
  readonly to: Mailbox | undefined;
}

/** What stays the same for a session. */
interface Source {
  readonly exempt: boolean;
  readonly address: string;
  readonly network: string;
}

/** What is told to the client, and the code of a temporary refusal. */
const replies: ReadonlyMap<Count, { readonly text: string; readonly code: number }> = new Map([
  ["connections", { text: "Too many connections", code: 421 }],
  ["messages", { text: "Too many messages", code: 450 }],
  ["recipients", { text: "Too many recipients", code: 452 }],
  ["octets", { text: "Too much data", code: 452 }],
  ["errors", { text: "Too many errors", code: 450 }],
]);

const rateLimit: PluginModule<Options> = (edge, options) => {
  const rules = compileRules(options);
  const sources = new WeakMap<SessionFacts, Source>();

  function sourceOf(session: SessionFacts): Source {
    let source = sources.get(session);
    if (source === undefined) {
      const { address } = session.remote;
      source = {
        exempt: within(options.exempt, address),
        address: networkKey(address, 32, 128),
        network: networkKey(address, options.ipv4_prefix, options.ipv6_prefix),
      };
      sources.set(session, source);
    }
    return source;
  }

  /** The rules that count one thing, as one function; undefined where there are none, so that the stage costs nothing. */
  function limiter(count: Count) {
    const mine = rules.filter((rule) => rule.count === count);
    if (mine.length === 0) return undefined;
    const answers = mine.map((rule) => answerOf(edge, rule));

    function ask(
      start: number,
      source: Source,
      subject: Subject,
      amount: number,
      atConnect: boolean,
    ): Limited | undefined | Promise<Limited | undefined> {
      for (let i = start; i < mine.length; i++) {
        const key = keyOf(mine[i]!, source, subject);
        if (key === undefined) continue;
        const took = take(edge, mine[i]!, key, amount);
        if (isPromise(took)) {
          return took.then((late) =>
            judge(i, late, subject, atConnect) ?? ask(i + 1, source, subject, amount, atConnect)
          );
        }
        const limited = judge(i, took, subject, atConnect);
        if (limited !== undefined) return limited;
      }
      return undefined;
    }

    function judge(i: number, took: Take, subject: Subject, atConnect: boolean) {
      // Errors are only looked at here, by taking nothing: what counts is whether one more has room.
      if (count === "errors" ? took.left >= 1 : took.taken) return undefined;
      const rule = mine[i]!;
      edge.metrics.count(`limited_${rule.name}`);
      edge.log.info("Rate limit reached", {
        rule: rule.name,
        address: subject.session.remote.address,
        action: rule.action,
        retry_after: Math.ceil(took.retryAfter / 1000),
      });
      return answers[i]!(atConnect, took.taken ? rule.delay : took.retryAfter);
    }

    return (subject: Subject, amount: number, atConnect = false) => {
      const source = sourceOf(subject.session);
      return source.exempt ? undefined : ask(0, source, subject, amount, atConnect);
    };
  }

  const connections = limiter("connections");
  const messages = limiter("messages");
  const recipients = limiter("recipients");
  const octets = limiter("octets");
  const failures = limiter("errors");
  const errorRules = rules.filter((rule) => rule.count === "errors");

  /** Asks two limiters one after the other. */
  function both(
    first: Limited | undefined | Promise<Limited | undefined>,
    second: (() => Limited | undefined | Promise<Limited | undefined>) | undefined,
  ) {
    if (second === undefined) return first;
    if (isPromise(first)) return first.then((limited) => limited ?? second());
    return first ?? second();
  }

  /** Counts an error; a reply cannot wait, and a state that fails here fails at the next stage as well. */
  function countError(session: SessionFacts): void {
    const source = sourceOf(session);
    if (source.exempt) return;
    const subject = { session, from: undefined, to: undefined };
    for (const rule of errorRules) {
      const key = keyOf(rule, source, subject);
      if (key === undefined) continue;
      const took = take(edge, rule, key, 1);
      if (isPromise(took)) took.catch(() => edge.metrics.count("uncounted_errors"));
    }
  }

  const hooks: { -readonly [K in keyof Hooks]: Hooks[K] } = {};
  if (connections !== undefined || failures !== undefined) {
    hooks.connect = (session) => {
      const subject = { session, from: undefined, to: undefined };
      return both(
        failures?.(subject, 0, true),
        connections && (() => connections(subject, 1, true)),
      );
    };
  }
  if (messages !== undefined || failures !== undefined) {
    hooks.mail = (from, { session }) => {
      const subject = { session, from, to: undefined };
      return both(failures?.(subject, 0), messages && (() => messages(subject, 1)));
    };
  }
  if (recipients !== undefined) {
    hooks.rcpt = (to, { session, tx }) => recipients({ session, from: tx.from, to }, 1);
  }
  if (octets !== undefined) {
    hooks.end = (tx) => octets({ session: tx.session, from: tx.from, to: undefined }, tx.size);
  }
  if (errorRules.length > 0) {
    hooks.reply = (reply, { session }) => {
      // Only 5yz: our own "come again later" must not keep a client out for ever.
      if (reply.code >= 500) countError(session);
    };
  }
  return { name: "rate-limit", onError: "pass", hooks };
};

export default rateLimit;

/** Asks the state; an amount beyond the whole limit takes all of it, or it could never pass. */
function take(edge: Edge, rule: Rule, key: string, amount: number): Take | Promise<Take> {
  if (rule.capacity === undefined) {
    return edge.state.window(key, Math.min(amount, rule.limit), rule.limit, rule.window);
  }
  return edge.state.bucket(
    key,
    Math.min(amount, rule.capacity),
    rule.capacity,
    rule.limit,
    rule.window,
  );
}

/** The key of a rule's counter; undefined where the rule does not apply to this session or transaction. */
function keyOf(rule: Rule, source: Source, subject: Subject): string | undefined {
  // A line feed stands in none of the parts, so two different subjects never share a key.
  let key = rule.name;
  for (const dimension of rule.by) {
    let part: string;
    switch (dimension) {
      case "address":
        part = source.address;
        break;
      case "network":
        part = source.network;
        break;
      case "login":
        if (subject.session.identity === undefined) return undefined;
        part = subject.session.identity.user;
        break;
      case "helo":
        part = subject.session.helo.toLowerCase();
        break;
      case "recipient-domain":
        part = subject.to?.domain ?? "";
        break;
      default:
        // All bounces of the world share the null reverse-path: alone it tells nobody apart.
        if (!subject.from) {
          if (rule.by.length === 1) return undefined;
          part = "<>";
        } else {
          part = dimension === "sender" ? subject.from.address.toLowerCase() : subject.from.domain;
        }
    }
    key += `\n${part}`;
  }
  return key;
}

/** The verdict of a rule that is over its limit; those that do not change are made once. */
function answerOf(edge: Edge, rule: Rule): (atConnect: boolean, retryAfter: number) => Limited {
  const { text, code } = replies.get(rule.count)!;
  const later = `${text}, try again later`;
  const drop = edge.drop(421, "4.7.0", later);
  switch (rule.action) {
    case "delay":
      return (_, retryAfter) => edge.delay(Math.min(retryAfter, rule.delay));
    case "drop":
      return () => drop;
    case "refuse": {
      const refuse = edge.refuse(550, "5.7.1", text);
      const banner = edge.refuse(554, "5.7.1", text);
      return (atConnect) => atConnect ? banner : refuse;
    }
    case "defer": {
      // Before the banner the only temporary answer is 421, which closes (RFC 5321 section 3.8).
      const defer = edge.defer(code, "4.7.1", later);
      return (atConnect) => atConnect ? drop : defer;
    }
  }
}

function isPromise<T>(value: T | Promise<T>): value is Promise<T> {
  return value instanceof Promise;
}
