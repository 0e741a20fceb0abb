/**
 * `postern demo`: a proxy, a mailbox and three messages, with nothing to configure; then it stays up for the reader's own.
 *
 * Standard output is the show, the log goes to a file. Everything is real: the messages go through the ports, by SMTP.
 * @module
 */
import { systemNetwork } from "../runtime/system_net.ts";
import { onSignal } from "../runtime/process.ts";
import type { TransactionRecord } from "../server/record.ts";
import { type DemoFolder, makeDemoFolder, WORLD } from "./demo/folder.ts";
import { type DemoMessage, demoMessages } from "./demo/messages.ts";
import { type DemoHooks, type DemoServer, startDemo } from "./demo/server.ts";
import { DemoShow } from "./demo/show.ts";
import { usageText } from "./demo/usage.ts";
import { EXIT } from "./errors.ts";
import type { CliIo, Run } from "./io.ts";
import { withSpinner } from "./output.ts";
import { endpointText, readyLine } from "./ready_line.ts";
import { sendMessage } from "./send/client.ts";
import type { demoSpec } from "./specs.ts";

/** 0 where everything came as promised. */
export const run: Run<typeof demoSpec> = async ({ flags }, io) => {
  let stop = (): void => {};
  const stopped = new Promise<void>((resolve) => stop = resolve);
  const unhook = [onSignal("SIGINT", stop), onSignal("SIGTERM", stop)];
  let folder: DemoFolder | undefined;
  let server: DemoServer | undefined;
  // What is told changes with the act: first to who waits for a message's end, then to the show.
  const hooks: { -readonly [K in keyof DemoHooks]: DemoHooks[K] } = {
    recorded: () => {},
    logged: () => {},
  };
  try {
    const made = await withSpinner(io, "Making a folder, a user and a certificate", async () => {
      folder = await makeDemoFolder(flags.dir, io);
      server = await startDemo(folder, io, {
        recorded: (record) => hooks.recorded(record),
        logged: (lines) => hooks.logged(lines),
      });
      return { folder, server };
    });
    const show = new DemoShow(io, made.folder, made.server);
    hooks.logged = (lines) => void show.heard(lines);
    show.intro();
    let good = true;
    for (const message of demoMessages(new Date())) {
      const records: TransactionRecord[] = [];
      hooks.recorded = (record) => records.push(record);
      const result = await sendMessage(requestFor(message, made));
      const record = records.find(({ transaction }) => transaction.session.helo === message.helo);
      good = await show.played({ message, result, record }) && good;
    }
    if (!flags.once) {
      await stayUp(made, hooks, show, io, stopped);
    }
    return good ? EXIT.done : EXIT.failed;
  } finally {
    await server?.stop();
    await folder?.remove();
    // Last: npx and task runners send the same signal once more, and that one must not cut the end short.
    for (const off of unhook) off();
  }
};

interface Made {
  readonly folder: DemoFolder;
  readonly server: DemoServer;
}

function requestFor(message: DemoMessage, { folder, server }: Made) {
  const { port } = addressOf(server, message.listener);
  return {
    network: systemNetwork(),
    server: { kind: "smtp", host: "127.0.0.1", port, implicitTls: false },
    // Encrypted, with the certificate that was made a moment ago and that nobody can know.
    tls: "require",
    ca: undefined,
    auth: message.login ? { user: WORLD.user, password: folder.password } : undefined,
    helo: message.helo,
    timeout: 30_000,
    from: message.from,
    to: message.to,
    content: message.content,
  } as const;
}

/** Takes the reader's own mail until a signal comes. */
async function stayUp(
  { folder, server }: Made,
  hooks: { -readonly [K in keyof DemoHooks]: DemoHooks[K] },
  show: DemoShow,
  io: CliIo,
  stopped: Promise<void>,
): Promise<void> {
  const mx = endpointText(addressOf(server, "mx"));
  const submission = endpointText(addressOf(server, "submission"));
  // One after the other, for each has to look for its files.
  let shown = Promise.resolve();
  hooks.recorded = (record) => shown = shown.then(() => show.visited(record));
  hooks.logged = (lines) => shown = shown.then(() => show.logged(lines));
  io.stdout(readyLine(server.running.addresses));
  io.stdout(usageText({ folder, mx, submission }, io));
  await stopped;
  server.running.log.flush();
  hooks.recorded = () => {};
  hooks.logged = () => {};
  await shown;
  io.stdout("\nStopping\n");
}

function addressOf(server: DemoServer, listener: string) {
  const address = server.running.addresses.get(listener);
  if (address === undefined) throw new TypeError(`No listener ${listener}`);
  return address;
}
