/**
 * One message by SMTP, as a client: the upstream side's own dialling and connection, used once.
 *
 * Owns: one connection and one transaction.   Never: retries, prints, throws for anything a server or a network does.
 * @module
 */
import * as Effect from "effect/Effect";
import { every } from "../../runtime/timers.ts";
import type { Timeouts, UpstreamSettings } from "../../settings/settings.ts";
import { Deadlines } from "../../transport/deadlines.ts";
import type { Network, TlsFacts } from "../../transport/duplex.ts";
import type { UpstreamConnection } from "../../upstream/connection.ts";
import { dial, serverName, type SocketServer } from "../../upstream/dial.ts";
import { LegDown } from "../../upstream/leg.ts";
import { Stuffer } from "../../wire/dot.ts";
import { formatMailParams, type MailParams } from "../../wire/params.ts";
import { formatPath, type Mailbox, type ReversePath } from "../../wire/path.ts";
import type { Reply } from "../../wire/reply.ts";
import { paramsFor } from "./message.ts";

/** What to send, where to, and how. */
export interface SendRequest {
  readonly network: Network;
  readonly server: SocketServer;
  /** As for an upstream; `verify` looks at the certificate. With implicit TLS `opportunistic` means any certificate. */
  readonly tls: UpstreamSettings["tls"];
  /** PEM trust anchors beside the system's. */
  readonly ca: string | undefined;
  readonly auth: { readonly user: string; readonly password: string } | undefined;
  /** Our name for EHLO. */
  readonly helo: string;
  /** Milliseconds for the connection and for each reply. */
  readonly timeout: number;
  readonly from: ReversePath;
  readonly to: readonly Mailbox[];
  /** Whole lines, each with CRLF; dots as they are. */
  readonly content: Uint8Array;
}

/** What the server said of one recipient. */
export interface RecipientVerdict {
  readonly to: Mailbox;
  readonly reply: Reply;
}

/** How far it came. `why` is one phrase that follows the server's name; a refusal has the server's reply. */
export type SendResult =
  & {
    /** In the order of the request; empty when it did not come so far. */
    readonly recipients: readonly RecipientVerdict[];
    readonly tls: TlsFacts | undefined;
  }
  & (
    | { readonly outcome: "accepted"; readonly reply: Reply }
    | {
      readonly outcome: "refused";
      readonly stage: "sender" | "recipients" | "data" | "message";
      readonly reply: Reply;
    }
    | {
      readonly outcome: "failed";
      readonly phase: LegDown["phase"];
      readonly why: string;
      readonly reply: Reply | undefined;
    }
    /** An address needs an extension that the server does not have: nothing was sent. */
    | { readonly outcome: "impossible"; readonly why: string }
  );

/** Octets written before asking whether the kernel still takes them. */
const CHUNK = 65_536;
/** What is said to QUIT matters to nobody. */
const QUIT_TIMEOUT = 2_000;

/** Sends one message; resolves when the connection is over. */
export async function sendMessage(request: SendRequest): Promise<SendResult> {
  const deadlines = new Deadlines(Date.now());
  const stopTicking = every(100, () => deadlines.tick(Date.now()));
  const timeouts = timeoutsOf(request.timeout);
  const upstream = upstreamOf(request);
  const prefix = `upstream ${upstream.name} ${serverName(request.server)}: `;
  try {
    const dialled = await settled(
      dial(
        { ...request, deadlines, upstream, hostname: request.helo, timeouts },
        request.server,
        undefined,
      ),
    );
    if ("down" in dialled) return failed(dialled.down, prefix, { recipients: [], tls: undefined });
    const connection = dialled.value;
    const so = { recipients: [], tls: connection.tls };
    const result = await transaction({ connection, deadlines, timeouts, prefix }, request, so);
    if (connection.alive) {
      await settled(exchanged(connection, ["QUIT"], "envelope", QUIT_TIMEOUT));
      connection.destroy("closed by us");
    }
    return result;
  } finally {
    stopTicking();
  }
}

function exchanged(
  connection: UpstreamConnection,
  lines: readonly string[],
  phase: LegDown["phase"],
  timeout: number,
): Effect.Effect<readonly Reply[], LegDown> {
  return Effect.callback((resume) => {
    connection.exchange(lines, phase, timeout, (replies) => {
      resume(replies instanceof LegDown ? Effect.fail(replies) : Effect.succeed(replies));
    });
  });
}

/** How far it has come. */
type SoFar = Pick<SendResult, "recipients" | "tls">;

interface Dialled {
  readonly connection: UpstreamConnection;
  readonly deadlines: Deadlines;
  readonly timeouts: Timeouts;
  /** What reasons begin with. */
  readonly prefix: string;
}

function failed(down: LegDown, prefix: string, so: SoFar): SendResult {
  return {
    ...so,
    outcome: "failed",
    phase: down.phase,
    why: down.message.replace(prefix, ""),
    reply: down.reply,
  };
}

async function transaction(
  dialled: Dialled,
  { from, to, content }: SendRequest,
  start: SoFar,
): Promise<SendResult> {
  const { connection, timeouts, prefix } = dialled;
  const wanted = paramsFor(content, from, to);
  if (wanted.smtputf8 && !connection.extensions.smtputf8) {
    return {
      ...start,
      outcome: "impossible",
      why: "does not offer SMTPUTF8, which an address beyond US-ASCII needs",
    };
  }
  const say = (lines: readonly string[], phase: LegDown["phase"]) =>
    settled(exchanged(connection, lines, phase, timeouts.upstreamCommand));

  const mail = `MAIL FROM:${formatPath(from)}${formatMailParams(offered(wanted, connection))}`;
  const taken = await say([mail], "envelope");
  if ("down" in taken) return failed(taken.down, prefix, start);
  const [sender] = taken.value as [Reply];
  if (!positive(sender)) return { ...start, outcome: "refused", stage: "sender", reply: sender };

  const judged = await say(to.map((mailbox) => `RCPT TO:${formatPath(mailbox)}`), "envelope");
  if ("down" in judged) return failed(judged.down, prefix, start);
  const recipients = to.map((mailbox, i) => ({ to: mailbox, reply: judged.value[i] as Reply }));
  const so = { ...start, recipients };
  if (!recipients.some(({ reply }) => positive(reply))) {
    const [first] = judged.value as [Reply];
    return { ...so, outcome: "refused", stage: "recipients", reply: first };
  }

  const data = await say(["DATA"], "data");
  if ("down" in data) return failed(data.down, prefix, so);
  const [go] = data.value as [Reply];
  if (go.code !== 354) return { ...so, outcome: "refused", stage: "data", reply: go };

  const broken = await write(dialled, content);
  if (broken !== undefined) return failed(broken, prefix, so);
  const last = await settled(finalReply(connection, timeouts.upstreamDataEnd));
  if ("down" in last) return failed(last.down, prefix, so);
  return positive(last.value)
    ? { ...so, outcome: "accepted", reply: last.value }
    : { ...so, outcome: "refused", stage: "message", reply: last.value };
}

/** True for 2yz. */
export function positive({ code }: Reply): boolean {
  return code >= 200 && code < 300;
}

/** Only what the server offers is asked for (R23). */
function offered(wanted: MailParams, { extensions }: UpstreamConnection): MailParams {
  return {
    ...(wanted.size === undefined || extensions.size === undefined ? {} : { size: wanted.size }),
    ...(wanted.body === undefined || !extensions.eightBitMime ? {} : { body: wanted.body }),
    ...(wanted.smtputf8 === undefined ? {} : { smtputf8: wanted.smtputf8 }),
  };
}

/** Writes the content and the dot, no faster than the network takes it; why it broke, where it did. */
async function write(
  { connection, deadlines, timeouts }: Dialled,
  content: Uint8Array,
): Promise<LegDown | undefined> {
  let broken: LegDown | undefined;
  let goOn = (): void => {};
  const patience = {
    at: Infinity,
    expired: () => connection.destroy("takes no more of the message"),
  };
  connection.onDrain = () => goOn();
  connection.onUnasked = (down) => {
    broken = down;
    goOn();
  };
  deadlines.add(patience);
  const stuffer = new Stuffer();
  for (let at = 0; at < content.length && broken === undefined; at += CHUNK) {
    const taken = connection.write(stuffer.push(content.subarray(at, at + CHUNK)));
    if (taken) continue;
    await new Promise<void>((resolve) => {
      goOn = resolve;
      patience.at = deadlines.now + timeouts.upstreamData;
      if (broken !== undefined) resolve();
    });
    patience.at = Infinity;
  }
  deadlines.delete(patience);
  if (broken === undefined) connection.write(stuffer.terminator());
  connection.onDrain = () => {};
  connection.onUnasked = () => {};
  return broken;
}

function finalReply(
  connection: UpstreamConnection,
  timeout: number,
): Effect.Effect<Reply, LegDown> {
  return Effect.callback<Reply, LegDown>((resume) => {
    connection.expect("dot", timeout, (result) => {
      resume(result instanceof LegDown ? Effect.fail(result) : Effect.succeed(result));
    });
  });
}

type Settled<A> = { readonly value: A } | { readonly down: LegDown };

function settled<A>(effect: Effect.Effect<A, LegDown>): Promise<Settled<A>> {
  return Effect.runPromise(
    Effect.match(effect, {
      onSuccess: (value): Settled<A> => ({ value }),
      onFailure: (down): Settled<A> => ({ down }),
    }),
  );
}

function upstreamOf({ server, tls, auth }: SendRequest): UpstreamSettings {
  return {
    name: "send",
    servers: [server],
    balance: "priority",
    tls,
    ca: undefined,
    fingerprint: undefined,
    identity: "none",
    auth,
    connections: 1,
    maxUses: 1,
    mode: "inline",
    replyText: true,
  };
}

/** RFC 5321 section 4.5.3.2.6: the reply to the dot may take ten minutes, for giving up too early makes duplicates. */
const DATA_END = 600_000;

function timeoutsOf(each: number): Timeouts {
  return {
    command: each,
    data: each,
    session: each,
    tlsHandshake: each,
    proxyHeader: each,
    upstreamConnect: each,
    upstreamCommand: each,
    upstreamData: each,
    upstreamDataEnd: DATA_END,
    upstreamIdle: 0,
    drain: 0,
  };
}
