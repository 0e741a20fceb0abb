/**
 * One message by SMTP, as a client: the upstream side's own dialling and connection, used once.
 *
 * Owns: one connection and one transaction.   Never: retries, prints, throws for anything a server or a network does.
 * @module
 */
import * as Effect from "effect/Effect";
import { every } from "../runtime/timers.ts";
import type { Timeouts, UpstreamSettings } from "../settings/settings.ts";
import { Deadlines } from "../transport/deadlines.ts";
import type { Network, TlsFacts } from "../transport/duplex.ts";
import type { UpstreamConnection } from "../upstream/connection.ts";
import { dial, serverName, type SocketServer } from "../upstream/dial.ts";
import type { LegDown } from "../upstream/leg.ts";
import { Stuffer } from "../wire/dot.ts";
import { formatMailParams, type MailParams } from "../wire/params.ts";
import { formatPath, type Mailbox, type ReversePath } from "../wire/path.ts";
import type { Reply } from "../wire/reply.ts";
import { paramsFor } from "./send_message.ts";

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
  const failed = (down: LegDown, so: Partial<SendResult> = {}): SendResult => ({
    outcome: "failed",
    recipients: so.recipients ?? [],
    tls: so.tls,
    phase: down.phase,
    why: down.message.replace(prefix, ""),
    reply: down.reply,
  });
  try {
    const dialled = await settled(
      dial(
        { ...request, deadlines, upstream, hostname: request.helo, timeouts },
        request.server,
        undefined,
      ),
    );
    if ("down" in dialled) return failed(dialled.down);
    const connection = dialled.value;
    const result = await transaction(connection, request, timeouts, failed);
    if (connection.alive) {
      await settled(connection.exchange(["QUIT"], "envelope", QUIT_TIMEOUT));
      connection.destroy("closed by us");
    }
    return result;
  } finally {
    stopTicking();
  }
}

async function transaction(
  connection: UpstreamConnection,
  request: SendRequest,
  timeouts: Timeouts,
  failed: (down: LegDown, so: Partial<SendResult>) => SendResult,
): Promise<SendResult> {
  const { from, to, content } = request;
  const { extensions, tls } = connection;
  const wanted = paramsFor(content, from, to);
  const base = { tls, recipients: [] as readonly RecipientVerdict[] };
  if (wanted.smtputf8 && !extensions.smtputf8) {
    return {
      ...base,
      outcome: "impossible",
      why: "does not offer SMTPUTF8, which an address beyond US-ASCII needs",
    };
  }
  const say = (lines: readonly string[], phase: LegDown["phase"]) =>
    settled(connection.exchange(lines, phase, timeouts.upstreamCommand));

  const mail = `MAIL FROM:${formatPath(from)}${formatMailParams(offered(wanted, connection))}`;
  const rcpts = to.map((mailbox) => `RCPT TO:${formatPath(mailbox)}`);
  const envelope = await say([mail, ...rcpts], "envelope");
  if ("down" in envelope) return failed(envelope.down, base);
  const [sender, ...answers] = envelope.value as [Reply, ...Reply[]];
  if (!positive(sender)) return { ...base, outcome: "refused", stage: "sender", reply: sender };
  const recipients = to.map((mailbox, i) => ({ to: mailbox, reply: answers[i] as Reply }));
  const so = { tls, recipients };
  const refused = recipients.filter(({ reply }) => !positive(reply));
  if (refused.length === to.length) {
    return { ...so, outcome: "refused", stage: "recipients", reply: (refused[0] ?? fail()).reply };
  }

  const data = await say(["DATA"], "data");
  if ("down" in data) return failed(data.down, so);
  const [go] = data.value as [Reply];
  if (go.code !== 354) return { ...so, outcome: "refused", stage: "data", reply: go };

  const broken = await write(connection, content);
  const last = broken === undefined
    ? await settled(reply(connection, timeouts.upstreamDataEnd))
    : { down: broken };
  if ("down" in last) return failed(last.down, so);
  return positive(last.value)
    ? { ...so, outcome: "accepted", reply: last.value }
    : { ...so, outcome: "refused", stage: "message", reply: last.value };
}

function fail(): never {
  throw new TypeError("Cannot send: no recipient");
}

function positive({ code }: Reply): boolean {
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
  connection: UpstreamConnection,
  content: Uint8Array,
): Promise<LegDown | undefined> {
  let broken: LegDown | undefined;
  let goOn = (): void => {};
  connection.onDrain = () => goOn();
  connection.onUnasked = (down) => {
    broken = down;
    goOn();
  };
  const stuffer = new Stuffer();
  for (let at = 0; at < content.length && broken === undefined; at += CHUNK) {
    const wire = stuffer.push(content.subarray(at, at + CHUNK));
    if (connection.write(wire)) continue;
    await new Promise<void>((resolve) => {
      goOn = resolve;
      if (broken !== undefined) resolve();
    });
  }
  if (broken === undefined) connection.write(stuffer.terminator());
  connection.onDrain = () => {};
  connection.onUnasked = () => {};
  return broken;
}

function reply(connection: UpstreamConnection, timeout: number): Effect.Effect<Reply, LegDown> {
  return Effect.callback<Reply, LegDown>((resume) => {
    connection.expect("dot", timeout, (result) => {
      resume("code" in result ? Effect.succeed(result) : Effect.fail(result));
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
