/**
 * The clients of the interop table, each made to send given octets to a given listener. All of them verify our
 * certificate.
 * @module
 */
import * as fs from "node:fs";
import * as path from "node:path";
import { createTransport } from "nodemailer";
import { stuffed } from "../support/dot_reader.ts";
import { PosternProcess, type PosternRuntime } from "../support/postern_process.ts";
import { VERSION } from "../../src/version.ts";
import { textOf } from "../../tools/files.ts";
import type { Message } from "./messages.ts";
import { findProgram, mustRun } from "./programs.ts";
import { postfixClient } from "./postfix_client.ts";
import type { Entrance } from "./stage.ts";

/** A client that is ready. */
export interface Sender {
  /** Sends one message; fails with what the client said unless it was accepted. */
  send(message: Message, entrance: Entrance): Promise<void>;
  close?(): Promise<void>;
}

/** Where a client finds itself. */
export interface ClientContext {
  /** Folder for what it needs. */
  readonly dir: string;
  readonly entrances: readonly Entrance[];
  /** Runs our own client. */
  readonly runtime: PosternRuntime;
}

/** A client, whether it is here or not. */
export interface Client {
  /** Why it cannot be used here; undefined: it can. */
  missing(): string | undefined;
  version(): Promise<string>;
  /** It has no SMTPUTF8. */
  readonly noUtf8?: true;
  start(context: ClientContext): Sender | Promise<Sender>;
}

const HOST = "localhost";

/** The part that is the same for every program. */
function program(name: string): Pick<Client, "missing" | "version"> & { readonly path: string } {
  const path = findProgram(name);
  return {
    path: path ?? name,
    missing: () => path === undefined ? `${name} is not installed` : undefined,
    version: async () => {
      const { stdout } = await mustRun(path ?? name, ["--version"]);
      return /\d+(?:\.\d+)+/.exec(stdout)?.[0] ?? "";
    },
  };
}

function messageFile(dir: string, { id, content }: Message): string {
  const file = path.join(dir, `${id}.eml`);
  fs.writeFileSync(file, content);
  return file;
}

/** With dots stuffed, and the dot at the end. */
function wireFile(dir: string, { id, content }: Message): string {
  const file = path.join(dir, `${id}.wire`);
  fs.writeFileSync(file, stuffed(content));
  return file;
}

const swaksProgram = program("swaks");

const swaks: Client = {
  ...swaksProgram,
  noUtf8: true,
  start: ({ dir }) => ({
    async send(message, { transport, port, auth, caFile }) {
      const tls = transport === "plain" ? [] : [
        transport === "STARTTLS" ? "--tls" : "--tls-on-connect",
        "--tls-verify",
        "--tls-ca-path",
        caFile,
      ];
      const login = auth === undefined
        ? []
        : ["--auth", "LOGIN", "--auth-user", auth.user, "--auth-password", auth.password];
      await mustRun(swaksProgram.path, [
        ...["--server", HOST, "--port", `${port}`, "--helo", "client.test"],
        ...["--from", message.from, "--to", message.to, "--timeout", "30"],
        // As it is: made ready by swaks, it would lose or gain a line at its end.
        ...["--no-data-fixup", "--data", `@${wireFile(dir, message)}`, "--suppress-data"],
        ...tls,
        ...login,
      ]);
    },
  }),
};

const curlProgram = program("curl");

const curl: Client = {
  ...curlProgram,
  start: ({ dir }) => ({
    async send(message, { transport, port, auth, caFile }) {
      const scheme = transport === "implicit TLS" ? "smtps" : "smtp";
      await mustRun(curlProgram.path, [
        ...["--silent", "--show-error", "--max-time", "50"],
        ...[`${scheme}://${HOST}:${port}/client.test`, "--upload-file", messageFile(dir, message)],
        ...["--mail-from", message.from, "--mail-rcpt", message.to],
        ...(transport === "plain" ? [] : ["--ssl-reqd", "--cacert", caFile]),
        ...(auth === undefined ? [] : ["--user", `${auth.user}:${auth.password}`]),
      ]);
    },
  }),
};

const msmtpProgram = program("msmtp");

const msmtp: Client = {
  ...msmtpProgram,
  noUtf8: true,
  start: () => ({
    async send({ from, to, content }, { transport, port, auth, caFile }) {
      const tls = transport === "plain" ? ["--tls=off"] : [
        "--tls=on",
        `--tls-starttls=${transport === "STARTTLS" ? "on" : "off"}`,
        `--tls-trust-file=${caFile}`,
      ];
      const login = auth === undefined ? ["--auth=off"] : [
        "--auth=plain",
        `--user=${auth.user}`,
        `--passwordeval=echo ${auth.password}`,
      ];
      await mustRun(
        msmtpProgram.path,
        [`--host=${HOST}`, `--port=${port}`, `--from=${from}`, ...tls, ...login, "--", to],
        { input: content },
      );
    },
  }),
};

const SMTPLIB = `
import json, smtplib, ssl, sys
job = json.loads(sys.argv[1])
context = ssl.create_default_context(cafile=job["ca"])
if job["transport"] == "implicit TLS":
    smtp = smtplib.SMTP_SSL(job["host"], job["port"], local_hostname="client.test", context=context)
else:
    smtp = smtplib.SMTP(job["host"], job["port"], local_hostname="client.test")
if job["transport"] == "STARTTLS":
    smtp.starttls(context=context)
if job["auth"]:
    smtp.login(job["auth"]["user"], job["auth"]["password"])
smtp.sendmail(job["from"], [job["to"]], sys.stdin.buffer.read(), mail_options=job["options"])
smtp.quit()
`;

const smtplibProgram = program("python3");

const smtplib: Client = {
  ...smtplibProgram,
  start: () => ({
    async send({ from, to, kind, content }, { transport, port, auth, caFile }) {
      const options = [
        ...(kind.eightBit ? ["BODY=8BITMIME"] : []),
        ...(kind.utf8 ? ["SMTPUTF8"] : []),
      ];
      const server = { host: HOST, port, transport, ca: caFile, auth: auth ?? null };
      const job = JSON.stringify({ ...server, from, to, options });
      await mustRun(smtplibProgram.path, ["-c", SMTPLIB, job], { input: content });
    },
  }),
};

/** In this process: it is a library. */
const nodemailer: Client = {
  missing: () => undefined,
  version: () => Promise.resolve(dependency("nodemailer")),
  start: () => ({
    async send({ from, to, content }, { transport, port, auth, caFile }) {
      const mailer = createTransport({
        host: HOST,
        port,
        name: "client.test",
        secure: transport === "implicit TLS",
        requireTLS: transport === "STARTTLS",
        ignoreTLS: transport === "plain",
        tls: { ca: [fs.readFileSync(caFile, "utf8")] },
        ...(auth === undefined ? {} : { auth: { user: auth.user, pass: auth.password } }),
      });
      try {
        await mailer.sendMail({ envelope: { from, to: [to] }, raw: content });
      } finally {
        mailer.close();
      }
    },
  }),
};

const posternSend: Client = {
  missing: () => undefined,
  version: () => Promise.resolve(VERSION),
  start: ({ dir, runtime }) => ({
    async send(message, { transport, port, auth, caFile }) {
      const tls = { plain: "none", STARTTLS: "starttls", "implicit TLS": "implicit" }[transport];
      const args = [
        ...["send", "--server", `${HOST}:${port}`, "--helo", "client.test", "--tls", tls],
        ...["--from", message.from, "--to", message.to, "--ca", caFile],
        ...(auth === undefined ? [] : ["--user", auth.user, "--password-stdin"]),
        messageFile(dir, message),
      ];
      await using sending = new PosternProcess(args, runtime, auth && `${auth.password}\n`);
      const { code } = await sending.exited;
      if (code !== 0) throw new Error(`postern send: ${code}\n${sending.stdout}${sending.stderr}`);
    },
  }),
};

/** The version of a package that the project depends on. */
function dependency(name: string): string {
  const { devDependencies } = JSON.parse(textOf("package.json")) as {
    readonly devDependencies: Readonly<Record<string, string>>;
  };
  return devDependencies[name] ?? "";
}

/** By name, in the table's order. */
export const CLIENTS: ReadonlyMap<string, Client> = new Map([
  ["swaks", swaks],
  ["curl", curl],
  ["msmtp", msmtp],
  ["Python smtplib", smtplib],
  ["nodemailer", nodemailer],
  ["Postfix smtp(8)", postfixClient],
  ["postern send", posternSend],
]);
