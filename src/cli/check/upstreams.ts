/**
 * The part of `postern check` that reaches the upstreams: connection, EHLO, STARTTLS, certificate, AUTH, as the proxy
 * itself will do it.
 * @module
 */
import * as Cause from "effect/Cause";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Option from "effect/Option";
import { makeUpstreams } from "../../assembly/upstreams.ts";
import { systemNetwork } from "../../runtime/system_net.ts";
import { every } from "../../runtime/timers.ts";
import { visible } from "../../settings/problem.ts";
import type { Settings, UpstreamSettings } from "../../settings/settings.ts";
import { Deadlines } from "../../transport/deadlines.ts";
import { serverName } from "../../upstream/dial.ts";
import type { ServerCheck } from "../../upstream/upstreams.ts";
import type { Finding } from "./report.ts";
import type { LoadedConfiguration } from "../load_configuration.ts";

/** A person waits: a server that takes longer is as good as not there. Greetings may be delayed on purpose. */
const LONGEST_CONNECT = 10_000;
const LONGEST_REPLY = 40_000;

/** Asks every server of every upstream. */
export async function checkUpstreams(loaded: LoadedConfiguration): Promise<Finding[]> {
  const settings = impatient(loaded.settings);
  const deadlines = new Deadlines(Date.now());
  const stopTicking = every(250, () => deadlines.tick(Date.now()));
  try {
    const made = await Effect.runPromiseExit(
      makeUpstreams(settings, { network: systemNetwork(), deadlines, now: Date.now }),
    );
    if (Exit.isFailure(made)) {
      const failed = Option.getOrUndefined(Cause.findErrorOption(made.cause));
      if (failed === undefined) throw Cause.squash(made.cause);
      return failed.problems.map(({ path, message }) => ({
        status: "wrong",
        subject: "",
        detail: loaded.place(path, message),
      }));
    }
    const checks = await Effect.runPromise(made.value.check());
    made.value.close();
    const byName = new Map(settings.upstreams.map((upstream) => [upstream.name, upstream]));
    return checks.map((check) => finding(check, byName.get(check.upstream)));
  } finally {
    stopTicking();
  }
}

/** The same lines where nobody is asked. */
export function describeUpstreams({ settings }: LoadedConfiguration): Finding[] {
  return settings.upstreams.flatMap(({ name, servers }) =>
    servers.map((server): Finding => ({
      status: "note",
      subject: name,
      detail: `${serverName(server)}: not asked (--offline)`,
    }))
  );
}

function finding(check: ServerCheck, upstream: UpstreamSettings | undefined): Finding {
  const { upstream: subject, server, problem } = check;
  if (problem !== undefined) {
    // The message names upstream and server, as a log needs it.
    const why = problem.replace(`upstream ${subject} ${server}: `, "")
      .replace(/^(cannot connect): Cannot connect to \S+: /, "$1: ");
    return { status: "broken", subject, detail: visible(`${server}: ${why}`) };
  }
  if (upstream?.servers[0]?.kind === "maildir") {
    return { status: "ok", subject, detail: `${server}: messages can be stored` };
  }
  const login = upstream?.auth === undefined ? [] : [`logged in as ${upstream.auth.user}`];
  const words = [check.tls ?? "no TLS", ...login, offers(check)];
  return { status: "ok", subject, detail: visible(`${server}: ${words.join(", ")}`) };
}

/** What decides about what our own clients are offered. */
function offers({ extensions }: ServerCheck): string {
  if (extensions === undefined) return "offers nothing";
  const { size } = extensions;
  const words = [
    ...(extensions.pipelining ? ["PIPELINING"] : []),
    ...(extensions.eightBitMime ? ["8BITMIME"] : []),
    ...(extensions.smtputf8 ? ["SMTPUTF8"] : []),
    ...(extensions.dsn ? ["DSN"] : []),
    ...(size === undefined ? [] : [size === 0 ? "SIZE" : `SIZE ${size}`]),
  ];
  return words.length === 0 ? "offers no extension" : `offers ${words.join(" ")}`;
}

function impatient(settings: Settings): Settings {
  const { timeouts } = settings;
  return {
    ...settings,
    timeouts: {
      ...timeouts,
      upstreamConnect: Math.min(timeouts.upstreamConnect, LONGEST_CONNECT),
      upstreamCommand: Math.min(timeouts.upstreamCommand, LONGEST_REPLY),
      tlsHandshake: Math.min(timeouts.tlsHandshake, LONGEST_CONNECT),
    },
  };
}
