/**
 * The public door of the wire room: SMTP's octets to plain values and back. Pure, synchronous, total; imports nothing.
 *
 * Parsers take any input and never throw; they answer with a value, `undefined`, or a refusal. Writers build from
 * validated values, and throw a `TypeError` where a value could not be read back as what it is.
 *
 * @example
 * ```ts
 * import { formatReply, parseCommand, reply } from "@postern/postern/wire";
 *
 * const command = parseCommand('RCPT TO:<"j.doe"@Example.test> NOTIFY=NEVER');
 * if (command.verb === "RCPT") {
 *   command.to.address; // j.doe@Example.test
 *   command.to.domain; // example.test
 * }
 * formatReply(reply(250, "2.1.5", "Recipient ok")); // 250 2.1.5 Recipient ok, CRLF
 * ```
 * @module
 */
export { type Command, isForeignProtocol, parseCommand } from "./command.ts";
export { isDomain, isHeloName, isLiteral } from "./domain.ts";
export {
  formatLocalPart,
  formatPath,
  type Mailbox,
  parseForwardPath,
  parseMailbox,
  parseReversePath,
  type PathResult,
  type ReversePath,
} from "./path.ts";
export {
  formatMailParams,
  formatRcptParams,
  type MailParams,
  type ParamsResult,
  parseMailParams,
  parseRcptParams,
  type RcptParams,
} from "./params.ts";
export {
  formatReply,
  type Reply,
  reply,
  type ReplyFault,
  ReplyParser,
  withEnhanced,
} from "./reply.ts";
export {
  decodeBase64,
  encodeBase64,
  isBase64,
  LOGIN_PASSWORD,
  LOGIN_USERNAME,
  loginStep,
  parseLoginAnswer,
  parsePlain,
  parseSaslText,
  type PlainCredentials,
  plainInitial,
} from "./sasl.ts";
export {
  type BearerCredentials,
  oauthBearerInitial,
  parseOAuthBearer,
  parseXOAuth2,
  xoauth2Initial,
} from "./sasl_oauth.ts";
export {
  bindsHeader,
  formatSaslName,
  formatScramFinal,
  formatScramFirst,
  parseSaslName,
  parseScramFinal,
  parseScramFirst,
  scramAuthMessage,
  type ScramClientFinal,
  type ScramClientFirst,
} from "./sasl_scram.ts";
export {
  formatXclient,
  formatXforward,
  parseXclient,
  type XclientAttributes,
  type XforwardAttributes,
} from "./xclient.ts";
export {
  formatProxyV1,
  formatProxyV2,
  type ProxyEndpoint,
  type ProxyHeader,
  ProxyHeaderParser,
  type ProxyResult,
} from "./proxy_protocol.ts";
export type { ProxyTls, ProxyTlvs } from "./proxy_tlvs.ts";
export { findHeaderEnd, HeaderBlock, type HeaderEdit, unfold } from "./headers.ts";
export { commentText, printable } from "./printable.ts";
export { formatIp, parseIp } from "./ip.ts";
export { decodeXtext, encodeXtext, isXtext } from "./xtext.ts";
export {
  type ContentFault,
  type LineEvent,
  type LineFault,
  Receiver,
  type ReceiverEvent,
  type ReceiverOptions,
} from "./receiver.ts";
export type { ContentOptions } from "./content.ts";
export { stuff, Stuffer, unstuff, Unstuffer } from "./dot.ts";
