/**
 * The proxy inside a program of one's own: it starts with a configuration value and a plugin of this folder, takes a
 * message from nodemailer, delivers it to a Maildir, and stops.
 *
 *     deno run -A examples/embed.ts
 *     bun examples/embed.ts
 * @module
 */
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "@postern/postern";
import { createTransport } from "nodemailer";

const folder = await mkdtemp(join(tmpdir(), "postern-embed-"));
try {
  const postern = await run({
    hostname: "mx.example.org",
    listeners: [{ name: "mx", listen: "127.0.0.1:0", tls: "none" }],
    upstreams: { mailbox: { servers: [`maildir:${folder}`] } },
    routes: [{ to: ["example.org"], upstream: "mailbox" }],
    plugins: [{ use: "./plugins/block-domains.ts", options: { domains: ["spam.test"] } }],
  }, {
    baseDir: import.meta.dirname ?? ".",
    writeLog: (lines) => console.log(lines.trimEnd()),
  });
  try {
    const { address, port } = postern.addresses.get("mx")!;
    const transport = createTransport({ host: address, port });
    const { response } = await transport.sendMail({
      from: "bob@example.com",
      to: "alice@example.org",
      subject: "Through the proxy",
      text: "Hello Alice\n",
    });
    transport.close();
    console.log(`Postern said: ${response}`);
  } finally {
    await postern.stop();
  }
  const inbox = join(folder, "alice@example.org", "new");
  for (const file of await readdir(inbox)) {
    console.log(`\n${await readFile(join(inbox, file), "utf8")}`);
  }
} finally {
  await rm(folder, { recursive: true });
}
