/**
 * SMTP AUTH as a client, as far as it takes to learn whether a login is right (RFC 4954, RFC 3207, RFC 4616).
 *
 * Never: sends a password before TLS unless told to, or takes anything but 235 for a right one. What the server says is
 * hostile text: codes go on from here, its words do not.
 * @module
 */
import type { Connection, ConnectTls } from "@postern/postern/plugin";
import { base64, NotNow } from "../shared/login.ts";

const mostLines = 100;
/** RFC 5321 section 4.5.3.1.4, without the line end. A longer initial response is sent as a line of its own. */
const commandLine = 510;
/** The server does not understand us, or wants what we do not do: that is no word on the password (RFC 5321, RFC 4954). */
const misunderstood: ReadonlySet<number> = new Set([500, 501, 502, 503, 504, 530, 534, 538]);

/** One reply: its code, and what stands behind it on each line. */
export interface Reply {
  readonly code: number;
  readonly lines: readonly string[];
}

/** Reads one reply; throws at what is none. */
export async function readReply(connection: Connection): Promise<Reply> {
  const lines: string[] = [];
  let code: number | undefined;
  while (lines.length < mostLines) {
    const line = await connection.readLine(2_048);
    if (line === undefined) throw new Error("The server closed the connection");
    const found = /^([2-5][0-9]{2})(?:([ -])([^\x00-\x08\x0a-\x1f\x7f]*))?$/.exec(line);
    if (found === null || code !== undefined && code !== Number(found[1])) break;
    code = Number(found[1]);
    lines.push(found[3] ?? "");
    if (found[2] !== "-") return { code, lines };
  }
  throw new Error("The server does not speak SMTP");
}

/** What is said to whom. */
export interface Conversation {
  readonly connection: Connection;
  readonly hello: string;
  /** STARTTLS, and how the certificate is judged; undefined: TLS is up already, or is not wanted. */
  readonly startTls: ConnectTls | undefined;
}

/** Whether the server takes these credentials. Throws where it does not say. */
export async function logIn(
  { connection, hello, startTls }: Conversation,
  user: string,
  password: string,
): Promise<boolean> {
  const ask = async (line: string): Promise<Reply> => {
    await connection.write(`${line}\r\n`);
    return await readReply(connection);
  };
  const must = (reply: Reply, code: number, what: string): Reply => {
    if (reply.code !== code) throw new Error(`The server answered ${what} with ${reply.code}`);
    return reply;
  };
  must(await readReply(connection), 220, "the connection");
  let offered = extensions(must(await ask(`EHLO ${hello}`), 250, "EHLO"));
  if (startTls !== undefined) {
    if (!offered.has("STARTTLS")) throw new Error("The server does not offer STARTTLS");
    must(await ask("STARTTLS"), 220, "STARTTLS");
    await connection.startTls(startTls);
    // What was said before is forgotten (RFC 3207 section 4.2).
    offered = extensions(must(await ask(`EHLO ${hello}`), 250, "EHLO"));
  }
  const mechanisms = offered.get("AUTH")?.toUpperCase().split(/[ =]+/) ?? [];
  return judge(
    mechanisms.includes("PLAIN")
      ? await plain(ask, user, password)
      : mechanisms.includes("LOGIN")
      ? await login(ask, user, password)
      : none(),
  );
}

type Ask = (line: string) => Promise<Reply>;

async function plain(ask: Ask, user: string, password: string): Promise<Reply> {
  const response = base64(`\0${user}\0${password}`);
  const whole = `AUTH PLAIN ${response}`;
  if (whole.length <= commandLine) return await ask(whole);
  const first = await ask("AUTH PLAIN");
  return first.code === 334 ? await ask(response) : first;
}

async function login(ask: Ask, user: string, password: string): Promise<Reply> {
  let reply = await ask("AUTH LOGIN");
  // By order, not by the challenge's text, which differs from server to server.
  for (const answer of [user, password]) {
    if (reply.code !== 334) return reply;
    reply = await ask(base64(answer));
  }
  return reply;
}

function none(): never {
  throw new Error("The server offers neither AUTH PLAIN nor LOGIN");
}

function judge({ code }: Reply): boolean {
  if (code === 235) return true;
  // 421 is the server's end, not its word on this login.
  if (code >= 400 && code < 500 && code !== 421) throw new NotNow(`The server answered ${code}`);
  if (code < 500 || misunderstood.has(code)) {
    throw new Error(`The server answered AUTH with ${code}`);
  }
  return false;
}

/** Keywords of EHLO in upper case, with their parameters. */
function extensions({ lines }: Reply): ReadonlyMap<string, string> {
  return new Map(
    lines.slice(1).map((line) => {
      // Some servers write `AUTH=PLAIN`.
      const end = line.search(/[ =]/);
      const keyword = (end < 0 ? line : line.slice(0, end)).toUpperCase();
      return [keyword, end < 0 ? "" : line.slice(end + 1)];
    }),
  );
}
