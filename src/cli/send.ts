/**
 * `postern send`: one message by SMTP, to try a server: who takes it, who refuses it, and with which words.
 * @module
 */
import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import * as path from "node:path";
import { systemNetwork } from "../runtime/system_net.ts";
import { systemReason } from "../runtime/system_reason.ts";
import { isHostname } from "../settings/address.ts";
import { quote, visible } from "../settings/problem.ts";
import { duration } from "../settings/units.ts";
import { serverName, type SocketServer } from "../upstream/dial.ts";
import { type Mailbox, parseMailbox, type ReversePath } from "../wire/path.ts";
import type { TransportError } from "../transport/duplex.ts";
import type { Input } from "./args.ts";
import { CliError, EXIT, UsageError } from "./errors.ts";
import { readOctets, readText } from "./files.ts";
import type { CliIo, Run } from "./io.ts";
import { styles, table, withSpinner } from "./output.ts";
import { askPassword, passwordFromStdin } from "./password.ts";
import { positive, sendMessage, type SendRequest, type SendResult } from "./send/client.ts";
import { failureText, replyText, serverLabel } from "./send/failure.ts";
import { makeMessage, wireText } from "./send/message.ts";
import { type SendTls, serverOf, tlsOf } from "./send/server.ts";
import type { sendSpec } from "./specs.ts";
import { watchedNetwork } from "./send/watched_network.ts";

type Flags = Input<typeof sendSpec>["flags"];

/** Sends one message; 0 only where the server has taken it for every recipient. */
export const run: Run<typeof sendSpec> = async ({ flags, words }, io) => {
  const { server, tls } = destination(flags);
  const timeout = duration(flags.timeout);
  if (timeout === undefined || timeout === 0) {
    throw wrong("timeout", 'a duration, as in "30s"', flags.timeout);
  }
  const helo = flags.helo ?? ownName();
  if (!/^[!-~]{1,255}$/.test(helo)) throw wrong("helo", "a host name", helo);
  const to = recipientsOf(flags);
  const from = senderOf(flags, helo);
  if (words.file !== undefined && (flags.subject ?? flags.body) !== undefined) {
    throw new UsageError(
      "--subject and --body are for a message made up here, and a file is given",
      "send",
    );
  }
  // In this order: the password is the first line of standard input, a message there comes behind it.
  const auth = await credentials(flags, io);
  const content = words.file === undefined
    ? madeUp(flags, from, to, helo)
    : wireText(await given(words.file, io));
  const ca = flags.ca === undefined ? undefined : await anchors(flags.ca, io);

  let error: TransportError | undefined;
  const style = styles(io, "stderr");
  const network = watchedNetwork(systemNetwork(), {
    line: (text) => {
      if (flags.verbose) io.stderr(`${text.startsWith("#") ? style.dim(text) : text}\n`);
    },
    broke: (why) => error = why,
  });
  const request: SendRequest = {
    network,
    server,
    tls: tls.mode,
    ca,
    auth,
    helo,
    timeout,
    from,
    to,
    content,
  };
  const result = flags.verbose
    ? await sendMessage(request)
    : await withSpinner(io, `Sending to ${serverLabel(server)}`, () => sendMessage(request));
  return show(result, { request, error, tls }, io);
};

interface Sent {
  readonly request: SendRequest;
  readonly error: TransportError | undefined;
  readonly tls: SendTls;
}

function show(result: SendResult, { request, error, tls }: Sent, io: CliIo): number {
  const style = styles(io);
  if (result.recipients.length > 0 && (result.outcome === "accepted" || request.to.length > 1)) {
    io.stdout(table(result.recipients.map(({ to, reply }) => [
      visible(to.address),
      (positive(reply) ? style.green : style.red)(replyText(reply)),
    ])));
  }
  if (result.outcome !== "accepted") {
    throw new CliError(failureText(result, { request, error, tls }));
  }
  const secured = result.tls === undefined ? "without TLS" : result.tls.version;
  io.stdout(
    `Sent ${request.content.length} octets to ${serverName(request.server)} (${secured}): ${
      style.green(replyText(result.reply))
    }\n`,
  );
  const refused = result.recipients.filter(({ reply }) => !positive(reply)).length;
  if (refused > 0) {
    throw new CliError(`${refused} of ${result.recipients.length} recipients refused`);
  }
  return EXIT.done;
}

function destination(flags: Flags): { readonly server: SocketServer; readonly tls: SendTls } {
  const tls = tlsOf(flags);
  const server = serverOf(flags.server, tls, flags.user !== undefined);
  if (flags.insecure && flags.ca !== undefined) {
    throw new UsageError("--ca has no effect with --insecure", "send");
  }
  return { server, tls };
}

function recipientsOf({ to }: Flags): readonly Mailbox[] {
  if (to.length === 0) throw new UsageError("Missing option --to ADDRESS", "send");
  return to.map((text) => addressOf("to", text));
}

function senderOf({ from, user }: Flags, helo: string): ReversePath {
  if (from === "<>") return null;
  if (from !== undefined) return addressOf("from", from);
  return parseMailbox(user ?? "") ?? addressOf("helo", `postmaster@${helo}`);
}

function addressOf(flag: string, text: string): Mailbox {
  const mailbox = parseMailbox(/^<(.*)>$/s.exec(text)?.[1] ?? text);
  if (mailbox === undefined) throw wrong(flag, "an address, as in alice@example.org", text);
  return mailbox;
}

async function credentials(flags: Flags, io: CliIo): Promise<SendRequest["auth"]> {
  const { user } = flags;
  if (user === undefined) {
    if (flags["password-stdin"]) {
      throw new UsageError("--password-stdin needs --user NAME", "send");
    }
    return undefined;
  }
  if (user.includes("\0")) throw wrong("user", "a login name", user);
  const password = flags["password-stdin"]
    ? await passwordFromStdin(io)
    : await askPassword(io, user, "send");
  return { user, password };
}

function madeUp(
  { subject, body }: Flags,
  from: ReversePath,
  to: readonly Mailbox[],
  helo: string,
): Uint8Array {
  const date = new Date();
  return makeMessage({
    from,
    to,
    subject: subject ?? "A test message from postern send",
    body: body ?? `This message was made by "postern send" at ${date.toISOString()}.\n`,
    date,
    unique: randomUUID(),
    hostname: isHostname(helo) ? helo : "localhost",
  });
}

async function given(file: string, io: CliIo): Promise<Uint8Array> {
  const octets = file === "-"
    ? await io.stdin.readAll()
    : await readOctets(path.resolve(io.cwd, file)).catch(unreadable(file));
  if (octets === undefined) throw unusable(`Cannot read ${file}: it does not exist`);
  if (octets.length === 0) {
    throw unusable(
      file === "-" ? "No message on standard input" : `Cannot send ${file}: it is empty`,
    );
  }
  return octets;
}

async function anchors(file: string, io: CliIo): Promise<string> {
  const text = await readText(path.resolve(io.cwd, file)).catch(unreadable(file));
  if (text === undefined) throw unusable(`Cannot read ${file}: it does not exist`);
  if (!text.includes("-----BEGIN CERTIFICATE-----")) {
    throw unusable(`Cannot use ${file}: it holds no PEM certificate`);
  }
  return text;
}

function unreadable(file: string): (error: unknown) => never {
  return (error) => {
    throw unusable(`Cannot read ${file}: ${systemReason(error) ?? "it is not UTF-8 text"}`);
  };
}

/** What was given cannot be used: nothing was tried, and no server has refused anything. */
function unusable(message: string): CliError {
  return new CliError(message, EXIT.usage);
}

/** The machine's name where it can stand in EHLO. */
function ownName(): string {
  const name = hostname();
  return isHostname(name) ? name : "localhost";
}

function wrong(flag: string, expected: string, got: string): UsageError {
  return new UsageError(`Cannot use --${flag}: expected ${expected}, got ${quote(got)}`, "send");
}
