/**
 * received: the trace field of this hop (RFC 5321 section 4.4, RFC 3848, RFC 6531 section 4.3).
 *
 * Owns: the field's text. Loops are the core's: it counts hops whether or not this field is written (`limits.hops`).
 * Never: lets client text into the field that could end a comment, start a clause or leave US-ASCII.
 * @module
 */
import type {
  HeaderView,
  Manifest,
  OptionsSchema,
  PluginModule,
  SessionFacts,
  TransactionContext,
} from "@postern/postern/plugin";
import * as v from "valibot";
import { flag, table } from "../shared/options.ts";
import { addressLiteral, atomText, dateTime, fromDomain } from "./trace.ts";

const schema = table({
  hide_client_for_authenticated: v.optional(flag(), false),
  show_login: v.optional(flag(), false),
});

/** Options, as the plugin is given them. */
export type Options = v.InferOutput<typeof schema>;

/** Options, as the operator writes them. */
export const options: OptionsSchema = schema;

/** What the plugin says of itself. */
export const manifest: Manifest = { version: "1.0.0" };

/** The part of the field that is the same for all messages of a session, and what it was made of. */
interface Cached {
  readonly helo: string;
  readonly esmtp: boolean;
  readonly tls: SessionFacts["tls"];
  readonly identity: SessionFacts["identity"];
  /** `from ... by ... with `. */
  readonly start: string;
  /** `S`, `A`, `SA` or nothing. */
  readonly suffix: string;
}

const received: PluginModule<Options> = (edge, options) => {
  const sessions = new WeakMap<SessionFacts, Cached>();
  let second = NaN;
  let date = "";

  function now(): string {
    const ms = edge.clock.now();
    const current = Math.floor(ms / 1000);
    if (current !== second) {
      second = current;
      date = dateTime(ms);
    }
    return date;
  }

  function cached(session: SessionFacts): Cached {
    const old = sessions.get(session);
    if (
      old !== undefined && old.helo === session.helo && old.esmtp === session.esmtp &&
      old.tls === session.tls && old.identity === session.identity
    ) return old;
    const { helo, esmtp, tls, identity } = session;
    const fresh = {
      helo,
      esmtp,
      tls,
      identity,
      start: start(session, options),
      suffix: esmtp ? (tls ? "S" : "") + (identity ? "A" : "") : "",
    };
    sessions.set(session, fresh);
    return fresh;
  }

  function header(view: HeaderView, { session, tx }: TransactionContext) {
    const part = cached(session);
    const utf8 = tx.params.smtputf8 === true;
    // There is no keyword for UTF-8 without ESMTP: SMTPUTF8 is an extension (RFC 6531 section 4.3).
    const protocol = utf8 ? "UTF8SMTP" : part.esmtp ? "ESMTP" : "SMTP";
    let value = `${part.start}${protocol}${part.suffix} id ${tx.id}`;
    // With more than one recipient the field would tell each of the others, blind copies too (section 7.2).
    if (tx.recipients.length === 1) {
      const { address } = tx.recipients[0]!;
      // A quoted local part may hold any syntax of this field; a mailbox without domain is no Path.
      if (!address.includes('"') && address.includes("@")) value += ` for <${address}>`;
    }
    view.prepend("Received", `${value}; ${now()}`);
    return undefined;
  }

  return { name: "received", onError: "tempfail", hooks: { header } };
};

export default received;

/** `from ... by ... with `, for one session. */
function start(session: SessionFacts, options: Options): string {
  const { identity, tls } = session;
  let text = "from ";
  if (identity !== undefined && options.hide_client_for_authenticated) {
    text += "authenticated-client";
  } else {
    const literal = addressLiteral(session.remote.address);
    const name = atomText(session.clientName ?? "");
    const domain = fromDomain(session.helo);
    text += domain ?? literal ?? "unknown";
    text += ` (${name || "unknown"}${literal === undefined ? "" : ` ${literal}`})`;
    // What is no domain still is worth knowing, but only as a comment.
    if (domain === undefined && session.helo !== "") text += ` (helo=${atomText(session.helo)})`;
  }
  if (tls !== undefined) {
    text += ` (using ${atomText(tls.version)} with cipher ${atomText(tls.cipher)})`;
  }
  if (identity !== undefined && options.show_login) {
    text += ` (authenticated as ${atomText(identity.user)})`;
  }
  return `${text} by ${session.hostname} (Postern) with `;
}
