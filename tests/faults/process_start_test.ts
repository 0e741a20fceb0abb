/**
 * The start of the process: the ready line, and what is said, and by which exit code, when it cannot start.
 * @module
 */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as net from "node:net";
import * as path from "node:path";
import { test } from "node:test";
import { PosternProcess, servePostern, tempHome } from "../support/postern_process.ts";
import { SmtpClient } from "../support/smtp_client.ts";

const LIMIT = { timeout: 60_000 };

const UPSTREAM = `
[upstreams.out]
servers = ["maildir:./mail"]
[[routes]]
to = ["example.org"]
upstream = "out"
`;

function listener(name: string, listen: string, tls = "none"): string {
  return `[[listeners]]\nname = "${name}"\nlisten = "${listen}"\ntls = "${tls}"\n`;
}

/** Runs `serve` with a configuration that cannot work; its exit code and what it said. */
async function failedStart(dir: string, toml: string) {
  const file = path.join(dir, "postern.toml");
  fs.writeFileSync(file, toml);
  await using postern = new PosternProcess(["serve", "-c", file]);
  const { code } = await postern.exited;
  assert.equal(postern.stdout, "");
  assert.doesNotMatch(postern.stderr, /^\s+at /m, "a stack trace was shown");
  return { code, file, lines: postern.stderr.trimEnd().split("\n") };
}

test(
  "the ready line names every listener with its real port, and is all of standard output",
  LIMIT,
  async () => {
    await using home = await tempHome();
    const socket = path.join(home.path, "in.sock");
    const toml = 'hostname = "mx.example.org"\ndata_dir = "data"\n' +
      listener("plain", "127.0.0.1:0") + listener("six", "[::1]:0") +
      listener("secure", "127.0.0.1:0", "implicit") + listener("local", `unix:${socket}`) +
      UPSTREAM;
    await using postern = await servePostern(home.path, toml);
    const ports =
      /^postern ready plain=127\.0\.0\.1:(\d+) six=\[::1\]:(\d+) secure=127\.0\.0\.1:(\d+) local=unix:(\S+)\n$/
        .exec(postern.stdout);
    assert.ok(ports !== null, postern.stdout);
    assert.equal(ports[4], socket);
    for (const [index, host] of [[1, "127.0.0.1"], [2, "::1"], [3, "127.0.0.1"]] as const) {
      const options = { host, ...(index === 3 ? { tls: true as const } : {}) };
      await using client = await SmtpClient.connect(Number(ports[index]), options);
      await client.expect(/^220 mx\.example\.org /);
      await client.quit();
    }
    assert.deepEqual(await postern.stop(), { code: 0, signal: null });
  },
);

test("a port in use: one clear line, exit code 1", LIMIT, async () => {
  await using home = await tempHome();
  const other = net.createServer();
  await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve));
  const { port } = other.address() as net.AddressInfo;
  try {
    const { code, lines } = await failedStart(
      home.path,
      `data_dir = "data"\n${listener("in", `127.0.0.1:${port}`)}${UPSTREAM}`,
    );
    assert.equal(code, 1);
    assert.equal(lines.length, 1, lines.join("\n"));
    assert.match(
      lines[0] ?? "",
      new RegExp(
        `Cannot listen on 127\\.0\\.0\\.1:${port} \\(listener "in"\\): the port is in use`,
      ),
    );
  } finally {
    other.close();
  }
});

test(
  "R39: a configuration with errors: file, line and column of each, exit code 2",
  LIMIT,
  async () => {
    await using home = await tempHome();
    const { code, file, lines } = await failedStart(
      home.path,
      `${listener("in", "127.0.0.1:0")}
[upstreams.mailbox]
servers = ["10.0.0.5"]
[[routes]]
to = ["example.org"]
uptream = "mailbox"
`,
    );
    assert.equal(code, 2);
    assert.equal(
      lines[0],
      `${file}:7:12: upstreams.mailbox.servers[0]: expected "host:port", got "10.0.0.5"`,
    );
    assert.ok(
      lines.includes(
        `${file}:10:1: routes[0].uptream: unknown key "uptream"; did you mean "upstream"?`,
      ),
      lines.join("\n"),
    );
  },
);

test("R39: text that is no TOML: file, line and column, exit code 2", LIMIT, async () => {
  await using home = await tempHome();
  const { code, file, lines } = await failedStart(home.path, 'hostname = "mx\n');
  assert.equal(code, 2);
  assert.equal(lines.length, 1, lines.join("\n"));
  assert.ok(lines[0]?.startsWith(`${file}:1:`), lines[0]);
});

test(
  "a certificate that is not there: its place in the configuration, exit code 2",
  LIMIT,
  async () => {
    await using home = await tempHome();
    const { code, file, lines } = await failedStart(
      home.path,
      `data_dir = "data"\n${listener("in", "127.0.0.1:0", "starttls")}
[tls]
certificates = [{ cert = "none.pem", key = "none.key" }]
${UPSTREAM}`,
    );
    assert.equal(code, 2, lines.join("\n"));
    assert.ok(lines[0]?.startsWith(`${file}:7:`), lines[0]);
    assert.match(lines[0] ?? "", /none\.pem/);
  },
);
