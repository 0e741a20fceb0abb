/**
 * Where `postern send` goes and how it is secured, from its options.
 *
 * A password never goes to a server whose certificate was not looked at, unless the person asks for it.
 * @module
 */
import { parseServer } from "../../settings/address.ts";
import { nearest } from "../../settings/nearest.ts";
import { quote } from "../../settings/problem.ts";
import type { UpstreamSettings } from "../../settings/settings.ts";
import type { SocketServer } from "../../upstream/dial.ts";
import { UsageError } from "../errors.ts";

/** The modes of `--tls`, as a person knows them. */
const MODES = ["none", "opportunistic", "starttls", "implicit"] as const;

/** How the connection is secured. */
export interface SendTls {
  readonly asked: typeof MODES[number];
  readonly mode: UpstreamSettings["tls"];
}

/** The options that decide. */
export interface TlsFlags {
  readonly server: string;
  readonly tls: string | undefined;
  readonly insecure: boolean;
  readonly user: string | undefined;
}

/** The mode, or a `UsageError`. */
export function tlsOf({ server, tls, insecure, user }: TlsFlags): SendTls {
  const byServer = server.startsWith("smtps://") ? "implicit" : undefined;
  const asked = tls ?? byServer ?? (user === undefined ? "opportunistic" : "starttls");
  const known = MODES.find((mode) => mode === asked);
  if (known === undefined) {
    const meant = nearest(asked, MODES);
    throw new UsageError(
      `Cannot use --tls: expected ${MODES.join(", ")}, got ${quote(asked)}` +
        (meant === undefined ? "" : `; did you mean "${meant}"?`),
      "send",
    );
  }
  if (byServer !== undefined && known !== byServer) {
    throw new UsageError(`smtps:// is implicit TLS, and --tls says ${known}`, "send");
  }
  const mode = known === "none" || known === "opportunistic"
    ? known
    : insecure
    ? "require"
    : "verify";
  return { asked: known, mode };
}

/** The server, with the usual port where none is named, or a `UsageError`. */
export function serverOf(text: string, tls: SendTls, login: boolean): SocketServer {
  const implicit = tls.asked === "implicit";
  const bare = text.replace(/^smtps:\/\//, "");
  const usual = implicit ? 465 : login ? 587 : 25;
  const candidates = [
    text,
    ...(/:\d*$/.test(bare.replace(/^\[.*\]/, "")) ? [] : [`${text}:${usual}`]),
  ];
  for (const candidate of candidates) {
    const server = parseServer(candidate, "/");
    if (!("kind" in server) || server.kind === "maildir") continue;
    return server.kind === "smtp" ? { ...server, implicitTls: implicit } : server;
  }
  throw new UsageError(
    `Cannot use --server: expected HOST, HOST:PORT, [V6]:PORT or unix:PATH, got ${quote(text)}`,
    "send",
  );
}
