/**
 * Why a message was not sent: one line that says who said no, to what, in which words, and what can be done.
 * @module
 */
import { visible } from "../../settings/problem.ts";
import type { TransportError } from "../../transport/duplex.ts";
import { serverName, type SocketServer } from "../../upstream/dial.ts";
import { formatPath } from "../../wire/path.ts";
import { printable } from "../../wire/printable.ts";
import type { Reply } from "../../wire/reply.ts";
import type { SendRequest, SendResult } from "./client.ts";
import type { SendTls } from "./server.ts";

/** What is known beside the result. */
export interface Circumstances {
  readonly request: Pick<SendRequest, "server" | "auth" | "from" | "to">;
  /** Why the last connection or handshake broke, where it did. */
  readonly error: TransportError | undefined;
  readonly tls: SendTls;
}

type Failure = Exclude<SendResult, { readonly outcome: "accepted" }>;

/** `127.0.0.1:2525` */
export function serverLabel(server: SocketServer): string {
  return serverName(server).replace(/^smtps:\/\//, "");
}

/** A reply on one line: `550 5.7.1 Relaying denied`. */
export function replyText({ code, enhanced, lines }: Reply): string {
  const words = [String(code), ...(enhanced === undefined ? [] : [enhanced]), ...lines];
  return printable(words.join(" ").trim(), 400);
}

/** The one line. */
export function failureText(result: Failure, about: Circumstances): string {
  const { request } = about;
  const server = serverLabel(request.server);
  switch (result.outcome) {
    case "impossible":
      return `${server} ${result.why}`;
    case "refused":
      return `${server} refused ${objectOf(result.stage, request)}: ${replyText(result.reply)}${
        cureOf(result.reply, about)
      }`;
    case "failed":
      return result.phase === "connect"
        ? connectText(result, about)
        : `${server} ${result.why}${said(result.reply)}${lostText(result.phase)}`;
  }
}

function objectOf(
  stage: Extract<SendResult, { readonly outcome: "refused" }>["stage"],
  { from, to }: Circumstances["request"],
): string {
  switch (stage) {
    case "sender":
      return `the sender ${visible(formatPath(from))}`;
    case "recipients": {
      const [first] = to;
      return to.length === 1 && first !== undefined
        ? `the recipient ${visible(formatPath(first))}`
        : `all ${to.length} recipients`;
    }
    case "data":
      return "DATA";
    case "message":
      return "the message";
  }
}

/** What the server's codes ask for (RFC 4954 section 6, RFC 3207 section 4). */
function cureOf({ code, enhanced, lines }: Reply, { request, tls }: Circumstances): string {
  if (code !== 530) return "";
  if (/STARTTLS|TLS/i.test(lines.join(" ")) && tls.asked === "none") return " (try --tls starttls)";
  if (enhanced === "5.7.0" && request.auth === undefined) return " (try --user NAME)";
  return "";
}

function said(reply: Reply | undefined): string {
  return reply === undefined ? "" : `: ${replyText(reply)}`;
}

function lostText(phase: "connect" | "envelope" | "data" | "body" | "dot"): string {
  if (phase !== "dot") return "; nothing is sent";
  return " after the end of the message; whether it has the message is not known";
}

function connectText(
  { why, reply }: Extract<Failure, { readonly outcome: "failed" }>,
  { request, error, tls }: Circumstances,
): string {
  const server = serverLabel(request.server);
  if (reply !== undefined) {
    return why.startsWith("refused our credentials")
      ? `${server} refused the login as ${visible(request.auth?.user ?? "")}: ${replyText(reply)}`
      : why.startsWith("greeted with")
      ? `${server} refused the connection: ${replyText(reply)}`
      : `${server} ${why.replace(/ with \d{3}$/, "")}: ${replyText(reply)}`;
  }
  if (why === "does not offer STARTTLS") {
    return `${server} does not offer STARTTLS (--tls none sends in clear, ` +
      "--tls implicit is for a port with TLS from the start)";
  }
  if (why === "has no TLS, so our credentials are not sent") {
    return `${server} has no TLS, so the password is not sent (--tls none sends it in clear)`;
  }
  if (why.startsWith("offers no AUTH mechanism")) {
    return `${server} offers no way to log in that is known here (PLAIN, LOGIN)`;
  }
  return error === undefined ? `${server} ${why}` : transportText(server, error, tls);
}

function transportText(server: string, error: TransportError, tls: SendTls): string {
  const detail = visible(error.message.replace(/^Cannot connect to \S+: /, ""));
  switch (error.kind) {
    case "certificate":
      return `Cannot trust the certificate of ${server}: ${certificateText(detail)} ` +
        "(--ca FILE trusts its authority, --insecure takes any certificate)";
    case "tls":
      if (!detail.includes("WRONG_VERSION_NUMBER")) return `TLS with ${server} failed: ${detail}`;
      return `TLS with ${server} failed: it does not speak TLS` +
        (tls.asked === "implicit" ? " from the start (--tls starttls is for such a port)" : "");
    case "dns":
      return `Cannot connect to ${server}: the name cannot be resolved`;
    case "refused":
      return `Cannot connect to ${server}: connection refused, nothing listens there`;
    default:
      return `Cannot connect to ${server}: ${detail}`;
  }
}

/** The runtimes differ in their words for the common cases, and in the codes for a certificate without an authority. */
function certificateText(detail: string): string {
  if (/SELF_SIGNED|UNABLE_TO_/.test(detail)) return "no authority known here has signed it";
  if (/ALTNAME_INVALID|MISMATCH/.test(detail)) return "it is for another name";
  if (detail.includes("CERT_HAS_EXPIRED")) return "it has expired";
  if (detail.includes("CERT_NOT_YET_VALID")) return "it is not valid yet";
  return detail;
}
