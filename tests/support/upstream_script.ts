/**
 * The language of the fake upstream's scripts, and what it remembers of a connection.
 *
 * A script names, per step, a reaction: a reply, an action (`fin()`, `rst()`, `raw("25")`, `endless(...)`,
 * `startTls()`), a promise to wait for, a list of these, or a function that chooses. A step that is not named is
 * answered as a good server would.
 *
 * ```ts
 * await using upstream = await scriptedUpstream({ rcpt: "550 5.1.1 no such user" });
 * await using upstream = await scriptedUpstream({ dot: [gate, "250 2.0.0 ok"] });            // `gate`: a promise
 * await using upstream = await scriptedUpstream({ body: { after: 1000, then: rst() } });     // in mid-body
 * await using upstream = await scriptedUpstream({ data: fin() });                            // before 354
 * await using upstream = await scriptedUpstream({ dot: rst() });                             // after the dot, before its reply
 * await using upstream = await scriptedUpstream({ mail: ["421 4.3.2 going down", fin()] });
 * await using upstream = await scriptedUpstream({ starttls: [raw("220 go\r\n250 injected\r\n"), startTls()], tls });
 * await using upstream = await scriptedUpstream({ rcpt: ({ nth }) => nth === 1 ? "451 4.2.0 later" : "250 2.1.5 ok" });
 * ```
 * @module
 */
import type { TestIdentity } from "./certificates.ts";
import { type Ending, Transcript } from "./line_socket.ts";

/** What the upstream can meet: a command, the connection itself, the body, the dot. `sasl`: a line that answers a 334. */
export type Step =
  | "banner"
  | "ehlo"
  | "helo"
  | "lhlo"
  | "starttls"
  | "auth"
  | "sasl"
  | "xclient"
  | "xforward"
  | "mail"
  | "rcpt"
  | "data"
  | "dot"
  | "rset"
  | "noop"
  | "quit"
  | "other";

/** Events of `waitFor`, beside the steps: told before the reaction to a step begins. */
export type UpstreamEvent = Step | "connect" | "tls" | "body" | "close";

/** One thing to do. A string is a reply (CRLF is added); a promise is waited for, and what it gives is ignored. */
export type Action =
  | string
  | PromiseLike<unknown>
  | { readonly act: "raw"; readonly octets: Uint8Array | string }
  | { readonly act: "endless"; readonly octets: string }
  | { readonly act: "fin" | "rst" | "starttls" };

/** What a function that chooses is told. */
export interface Met {
  /** The command line without CRLF; `""` for banner, body and dot. */
  readonly line: string;
  /** How often the step was met, over all connections, from 1. */
  readonly nth: number;
  /** Only for `dot` of LMTP: the recipient whose reply is due. */
  readonly recipient: string;
  readonly connection: UpstreamConnection;
}

/** Actions, in order. An empty list: nothing is said, and reading goes on. */
export type Reaction =
  | Action
  | readonly Action[]
  | ((met: Met) => Action | readonly Action[]);

/** What to do at which step. */
export interface Script extends Partial<Record<Step, Reaction>> {
  /** In mid-body, once so many octets of it (wire form) have come. While it waits nothing is read. */
  readonly body?: { readonly after: number; readonly then: Reaction };
  /** Keywords behind EHLO; `STARTTLS` is added where `tls` is given and TLS is not up. */
  readonly capabilities?: readonly string[];
  readonly tls?: TestIdentity;
  /** TLS from the first octet. */
  readonly implicitTls?: boolean;
  /** A PROXY header (v1 or v2) is read before the banner. */
  readonly proxyHeader?: boolean;
  /** One reply a recipient behind the dot. */
  readonly lmtp?: boolean;
  /** False: content is counted and hashed, not kept. */
  readonly keep?: boolean;
}

/** Octets as they are, without a CRLF: half a reply, garbage, two replies at once. */
export function raw(octets: Uint8Array | string): Action {
  return { act: "raw", octets };
}
/** The same octets until the peer is gone. */
export function endless(octets: string): Action {
  return { act: "endless", octets };
}
/** FIN: nothing more is said; what still comes is thrown away. */
export function fin(): Action {
  return { act: "fin" };
}
/** RST (a truncated stream under TLS). */
export function rst(): Action {
  return { act: "rst" };
}
/** The TLS handshake. The 220 is a reply before it. */
export function startTls(): Action {
  return { act: "starttls" };
}

/** A body as it came. */
export interface ReceivedBody {
  readonly from: string;
  readonly to: readonly string[];
  /** Wire form, without the terminator; empty when nothing is kept. */
  readonly raw: Uint8Array;
  /** Octets in wire form. */
  readonly octets: number;
  /** SHA-256 of the wire form, in hex. */
  readonly sha256: string;
  /** The end of data came: CRLF.CRLF. */
  readonly dot: boolean;
}

/** One connection, as it was seen from here. */
export class UpstreamConnection {
  readonly transcript: Transcript = new Transcript();
  /** Command lines, without CRLF, in order. */
  readonly commands: string[] = [];
  readonly bodies: ReceivedBody[] = [];
  /** The PROXY header, where one was expected. */
  proxyHeader: Uint8Array | undefined;
  secure = false;
  /** Plain octets that came behind STARTTLS; must be none. */
  behindStartTls = "";
  /** Set once the connection is over, whoever ended it; undefined also when it was ended here. */
  ending: Ending | undefined;
  from = "";
  to: string[] = [];
}
