/**
 * rate-limit: how much one address, network, login, sender or domain may do in a time.
 *
 * Owns: the rules of each stage, taken together or not at all. Never: makes a promise where the state answers at once.
 * Limits count what was asked for, not what was delivered: a message refused later has been counted.
 * @module
 */
import type {
  Edge,
  Hooks,
  Manifest,
  OptionsSchema,
  Pass,
  PluginModule,
  SessionFacts,
  Take,
  TakeRequest,
} from "@postern/postern/plugin";
import { within } from "../shared/network.ts";
import { keyOf, Source, type Subject } from "./keys.ts";
import { compileRules, type Count, type Options, type Rule, schema } from "./options.ts";
import { isOwn, type Limited, verdictOf } from "./replies.ts";
import { OpenSessions } from "./sessions.ts";

/** Options, as the operator writes them. */
export const options: OptionsSchema = schema;

/** What the plugin says of itself. */
export const manifest: Manifest = { version: "2.0.0" };

export type { Options };

type Decision = Limited | Pass | undefined;
type Asked = Decision | Promise<Decision>;

/** A limiter of one stage; `amount`: what the things that it counts come to. */
type Limiter = (subject: Subject, amount: number, atConnect?: boolean) => Asked;

const rateLimit: PluginModule<Options> = (edge, options) => {
  const rules = compileRules(options);
  const open = new OpenSessions();
  const sources = new WeakMap<SessionFacts, Source>();

  function sourceOf(session: SessionFacts): Source {
    let source = sources.get(session);
    if (source === undefined || source.remote !== session.remote) {
      source = new Source(session.remote, within(options.exempt, session.remote.address));
      sources.set(session, source);
    }
    return source;
  }

  function of(...counts: readonly Count[]): readonly Rule[] {
    return rules.filter(({ count }) => counts.includes(count));
  }

  /** Sessions of rules whose words are there when the client connects; those of the others are held at MAIL. */
  const early = of("sessions").filter(({ by }) => !by.includes("login") && !by.includes("helo"));
  const late = of("sessions").filter((rule) => !early.includes(rule));
  const limiters = {
    connect: limiter(edge, sourceOf, open, {
      sessions: early,
      looks: of("errors", "failed-logins"),
      takes: of("connections"),
    }),
    helo: limiter(edge, sourceOf, open, { sessions: [], looks: of("failed-logins"), takes: [] }),
    mail: limiter(edge, sourceOf, open, {
      sessions: late,
      looks: of("errors", "failed-logins"),
      takes: of("messages"),
    }),
    rcpt: limiter(edge, sourceOf, open, { sessions: [], looks: [], takes: of("recipients") }),
    end: limiter(edge, sourceOf, open, { sessions: [], looks: [], takes: of("octets") }),
  };

  /** Counts what cannot be refused; an observer is not waited for, and a state that fails here fails at the next stage as well. */
  function count(counted: readonly Rule[], session: SessionFacts, login: string | undefined): void {
    const source = sourceOf(session);
    if (source.exempt) return;
    const subject = { session, login, from: undefined, to: undefined };
    for (const rule of counted) {
      const key = keyOf(rule, source, subject);
      if (key === undefined) continue;
      const took = edge.state.takeAll([requestOf(rule, key, 1)]);
      if (isPromise(took)) took.catch(() => edge.metrics.count("uncounted"));
    }
  }

  const hooks: { -readonly [K in keyof Hooks]: Hooks[K] } = {};
  const { connect, helo, mail, rcpt, end } = limiters;
  if (connect !== undefined) {
    hooks.connect = (session) => connect(ofSession(session), 1, true);
  }
  if (helo !== undefined) hooks.helo = (_, { session }) => helo(ofSession(session), 0);
  if (mail !== undefined) {
    hooks.mail = (from, { session }) =>
      mail({ session, login: session.identity?.user, from, to: undefined }, 1);
  }
  if (rcpt !== undefined) {
    hooks.rcpt = (to, { session, tx }) =>
      rcpt({ session, login: session.identity?.user, from: tx.from, to }, 1);
  }
  if (end !== undefined) {
    hooks.end = (tx, { session }) =>
      end({ session, login: session.identity?.user, from: tx.from, to: undefined }, tx.size);
  }
  const errorRules = of("errors");
  const loginRules = of("failed-logins");
  const own = isOwn(rules);
  const on = {
    ...(errorRules.length === 0 ? {} : {
      // Only 5yz, and not our own: "come again later" must not keep a client out for ever.
      errorReply: (session: SessionFacts, reply: Parameters<typeof own>[0]) => {
        if (reply.code >= 500 && !own(reply)) count(errorRules, session, session.identity?.user);
      },
    }),
    ...(loginRules.length === 0 ? {} : {
      loginFailed: (session: SessionFacts, user: string) => count(loginRules, session, user),
    }),
    ...(early.length + late.length === 0 ? {} : {
      closed: (session: SessionFacts) => open.release(session),
    }),
  };
  if (Object.keys(on).length > 0) hooks.on = on;
  return { name: "rate-limit", onError: "pass", hooks };
};

export default rateLimit;

/** The rules of one stage as one function; undefined where there are none, so that the stage costs nothing. */
function limiter(
  edge: Edge,
  sourceOf: (session: SessionFacts) => Source,
  open: OpenSessions,
  { sessions, looks, takes }: {
    readonly sessions: readonly Rule[];
    readonly looks: readonly Rule[];
    readonly takes: readonly Rule[];
  },
): Limiter | undefined {
  if (sessions.length + looks.length + takes.length === 0) return undefined;

  /** Asks for all that apply, together: what one refuses, none has counted. */
  function ask(
    asked: readonly Rule[],
    source: Source,
    subject: Subject,
    amount: number,
    atConnect: boolean,
  ): Asked {
    const applying: Rule[] = [];
    const requests: TakeRequest[] = [];
    for (let i = 0; i < asked.length; i++) {
      const key = keyOf(asked[i]!, source, subject);
      if (key === undefined) continue;
      applying.push(asked[i]!);
      requests.push(requestOf(asked[i]!, key, amount));
    }
    if (requests.length === 0) return undefined;
    const answers = edge.state.takeAll(requests);
    return isPromise(answers)
      ? answers.then((late) => decide(applying, late, subject, atConnect))
      : decide(applying, answers, subject, atConnect);
  }

  function decide(
    applying: readonly Rule[],
    answers: readonly Take[],
    subject: Subject,
    atConnect: boolean,
  ): Decision {
    let evidence = "";
    let over = -1;
    let slowest = -1;
    for (let i = 0; i < applying.length; i++) {
      const rule = applying[i]!;
      const { left } = answers[i]!;
      edge.metrics.observe(rule.metrics.left, left);
      evidence += `${i === 0 ? "" : ", "}${rule.name}: ${shown(left)} of ${rule.capacity} left`;
      if (!isOver(rule, answers[i]!)) continue;
      if (rule.action !== "delay") {
        if (over < 0) over = i;
      } else if (
        slowest < 0 || waitOf(rule, answers[i]!) > waitOf(applying[slowest]!, answers[slowest]!)
      ) {
        slowest = i;
      }
    }
    const which = over >= 0 ? over : slowest;
    if (which < 0) return { verdict: "pass", evidence };
    return limited(
      applying[which]!,
      waitOf(applying[which]!, answers[which]!),
      evidence,
      subject,
      atConnect,
    );
  }

  function limited(
    rule: Rule,
    wait: number,
    evidence: string,
    { session }: Subject,
    atConnect: boolean,
  ): Limited {
    edge.metrics.count(rule.metrics.limited);
    edge.log.info("Rate limit reached", {
      rule: rule.name,
      address: session.remote.address,
      action: rule.action,
      retry_after: Number.isFinite(wait) ? Math.ceil(wait / 1000) : undefined,
    });
    return verdictOf(edge, rule, atConnect, wait, evidence);
  }

  function holdSessions(source: Source, subject: Subject, atConnect: boolean): Decision {
    for (const rule of sessions) {
      const key = keyOf(rule, source, subject);
      if (key === undefined || open.hold(subject.session, rule, key)) continue;
      const evidence = `${rule.name}: ${open.count(key)} open, ${rule.limit} allowed`;
      return limited(rule, rule.delay, evidence, subject, atConnect);
    }
    return undefined;
  }

  return (subject, amount, atConnect = false) => {
    const source = sourceOf(subject.session);
    if (source.exempt) return undefined;
    const first = sessions.length === 0 ? undefined : holdSessions(source, subject, atConnect);
    if (first !== undefined) return first;
    if (looks.length === 0) return ask(takes, source, subject, amount, atConnect);
    const found = ask(looks, source, subject, 0, atConnect);
    if (takes.length === 0) return found;
    const goOn = (looked: Decision) =>
      looked === undefined || looked.verdict === "pass"
        ? ask(takes, source, subject, amount, atConnect)
        : looked;
    return isPromise(found) ? found.then(goOn) : goOn(found);
  };
}

function ofSession(session: SessionFacts): Subject {
  return { session, login: session.identity?.user, from: undefined, to: undefined };
}

/** Errors are only looked at, by taking nothing: what counts is whether one more has room. */
function isOver({ count }: Rule, { taken, left, retryAfter }: Take): boolean {
  // One that had room, and was not taken because another had none, need not wait.
  return count === "errors" || count === "failed-logins" ? left < 1 : !taken && retryAfter > 0;
}

function waitOf(rule: Rule, { retryAfter }: Take): number {
  return retryAfter > 0 ? retryAfter : rule.delay;
}

/** Buckets have fractions. */
function shown(left: number): number {
  return Number.isInteger(left) ? left : Math.round(left * 100) / 100;
}

/** An amount beyond the whole limit takes all of it, or it could never pass. */
function requestOf(rule: Rule, key: string, amount: number): TakeRequest {
  const { algorithm, limit, window, capacity } = rule;
  const soft = rule.action === "delay";
  const most = Math.min(amount, capacity);
  return algorithm === "bucket"
    ? { kind: "bucket", key, amount: most, soft, capacity, refill: limit, per: window }
    : { kind: algorithm, key, amount: most, soft, limit, window };
}

function isPromise<T>(value: T | Promise<T>): value is Promise<T> {
  return value instanceof Promise;
}
