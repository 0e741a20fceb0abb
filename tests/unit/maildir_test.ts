/** The embedded mailbox: what 250 means, what is on the disk, and what is not. */
import { test } from "node:test";
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { Buffer } from "node:buffer";
import { mkdtempSync, promises as fs, rmdirSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { createInterface } from "node:readline";
import fc from "fast-check";
import * as Effect from "effect/Effect";
import {
  listMaildir,
  type MaildirLeg,
  type MaildirUpstream,
  maildirUpstream,
} from "../../src/upstream/maildir.ts";
import { folderName, recipientOf } from "../../src/upstream/maildir_names.ts";
import { LegDown } from "../../src/upstream/leg.ts";
import type { Mailbox } from "../../src/wire/path.ts";
import { numberedMessage } from "../support/maildir_writer.ts";

const returnPath = "Return-Path: <sender@client.test>\r\n";

async function withFolder(run: (folder: string) => Promise<void>): Promise<void> {
  const folder = await fs.mkdtemp(join(tmpdir(), "postern-maildir-"));
  try {
    await run(folder);
  } finally {
    await fs.rm(folder, { recursive: true, force: true });
  }
}

function mailbox(address: string): Mailbox {
  const at = address.lastIndexOf("@");
  return {
    address,
    local: at < 0 ? address : address.slice(0, at),
    domain: at < 0 ? "" : address.slice(at + 1).toLowerCase(),
    utf8: /[^\x00-\x7f]/.test(address),
  };
}

function upstreamAt(path: string, now: () => number = Date.now): MaildirUpstream {
  return maildirUpstream({ name: "local", path, hostname: "mx.test", now });
}

function begin(upstream: MaildirUpstream): Promise<MaildirLeg> {
  return Effect.runPromise(
    upstream.open({ from: mailbox("sender@client.test"), params: {}, id: "t1" }),
  );
}

/** A leg with its recipients taken and 354 given. */
async function ready(upstream: MaildirUpstream, ...recipients: string[]): Promise<MaildirLeg> {
  const leg = await begin(upstream);
  for (const address of recipients) {
    const answer = await Effect.runPromise(leg.rcpt({ to: mailbox(address), params: {} }));
    assert.equal(`${answer.code} ${answer.enhanced}`, "250 2.1.5");
  }
  const answer = await Effect.runPromise(leg.data());
  assert.equal(answer.code, 354);
  assert.equal(answer.enhanced, undefined);
  return leg;
}

/** Content to its wire form: a dot before every line that begins with one (RFC 5321 section 4.5.2). */
function stuff(content: Uint8Array): Uint8Array {
  const wire: number[] = [];
  let lineStart = true;
  for (const octet of content) {
    if (lineStart && octet === 0x2e) wire.push(0x2e);
    wire.push(octet);
    lineStart = octet === 0x0a;
  }
  return Uint8Array.from(wire);
}

function bytes(text: string): Uint8Array {
  return Uint8Array.from(text, (char) => char.charCodeAt(0));
}

/** Writes as the contract asks: a pause after every false. */
async function writeAll(leg: MaildirLeg, content: Uint8Array, chunk: number): Promise<void> {
  for (let at = 0; at < content.length; at += chunk) {
    const drained = new Promise<void>((resolve) => leg.drained = resolve);
    if (!leg.write(content.subarray(at, at + chunk))) await drained;
  }
}

async function deliver(
  upstream: MaildirUpstream,
  recipients: readonly string[],
  content: Uint8Array,
  chunk = 16 * 1024,
): Promise<void> {
  const leg = await ready(upstream, ...recipients);
  await writeAll(leg, stuff(content), chunk);
  const answer = await Effect.runPromise(leg.finish());
  assert.equal(`${answer.code} ${answer.enhanced}`, "250 2.0.0");
  leg.release();
  await leg.released;
}

async function down(effect: Effect.Effect<unknown, LegDown>): Promise<LegDown> {
  const error = await Effect.runPromise(Effect.flip(effect));
  assert.ok(error instanceof LegDown);
  return error;
}

/** Every file below a path that is not a folder, without the path. */
async function allFiles(path: string): Promise<string[]> {
  const found: string[] = [];
  for (const entry of await fs.readdir(path, { withFileTypes: true })) {
    if (entry.isDirectory()) {
      for (const below of await allFiles(join(path, entry.name))) {
        found.push(`${entry.name}/${below}`);
      }
    } else found.push(entry.name);
  }
  return found;
}

const eightBit = new Uint8Array(256 * 3);
for (let i = 0; i < eightBit.length; i++) {
  const octet = i % 256;
  eightBit[i] = octet === 0x0d || octet === 0x0a ? 0x20 : octet;
}

const contents: readonly (readonly [string, Uint8Array])[] = [
  ["an empty body", new Uint8Array(0)],
  ["one empty line", bytes("\r\n")],
  ["a usual message", bytes("Subject: x\r\n\r\nHello\r\n")],
  ["lines of dots", bytes(".\r\n..\r\n...\r\n.x\r\nx.\r\n\r\n.\r\n")],
  ["8-bit octets and NUL", Uint8Array.from([...eightBit, 0x0d, 0x0a])],
  ["a line of 1000 octets", bytes(`${"y".repeat(998)}\r\n.\r\n`)],
];

for (const [what, content] of contents) {
  test(`R7: ${what} arrives octet for octet behind one Return-Path line`, () =>
    withFolder(async (folder) => {
      for (const chunk of [1, 3, 1 << 20]) {
        await deliver(upstreamAt(folder), ["bob@example.org"], content, chunk);
      }
      const stored = await listMaildir(folder);
      assert.equal(stored.length, 3);
      for (const message of stored) {
        const file = await fs.readFile(message.file);
        assert.deepEqual(
          new Uint8Array(file),
          Uint8Array.from([...bytes(returnPath), ...content]),
        );
        assert.equal(message.size, file.length);
        assert.match(
          message.file,
          new RegExp(`/\\d+\\.M\\d+P${process.pid}Q\\d+\\.mx\\.test,S=${file.length}$`),
        );
      }
    }));
}

test("R7: any content in any cut arrives octet for octet", () =>
  withFolder(async (folder) => {
    const upstream = upstreamAt(folder);
    let n = 0;
    const line = fc.array(fc.constantFrom(0x2e, 0x41, 0x00, 0xff, 0x20), { maxLength: 5 });
    await fc.assert(
      fc.asyncProperty(
        fc.array(line, { maxLength: 20 }),
        fc.integer({ min: 1, max: 9 }),
        async (lines, chunk) => {
          const content = Uint8Array.from(lines.flatMap((octets) => [...octets, 0x0d, 0x0a]));
          const local = `u${n++}`;
          await deliver(upstream, [`${local}@example.org`], content, chunk);
          const [name] = await fs.readdir(join(folder, `${local}@example.org`, "new"));
          const file = await fs.readFile(join(folder, `${local}@example.org`, "new", name ?? ""));
          assert.deepEqual(new Uint8Array(file.subarray(returnPath.length)), content);
        },
      ),
      { numRuns: 30 },
    );
  }));

test("R7: 5 MiB arrive octet for octet, and a slow disk makes the writer wait", () =>
  withFolder(async (folder) => {
    const content = bytes(`${"0123456789".repeat(7)}\r\n`.repeat(72_818));
    assert.ok(content.length > 5 * 1024 * 1024);
    const leg = await ready(upstreamAt(folder), "bob@example.org");
    const drained = new Promise<void>((resolve) => leg.drained = resolve);
    assert.equal(leg.write(content.subarray(0, 1024)), true);
    assert.equal(leg.write(content.subarray(1024, 3 << 20)), false);
    await drained;
    await writeAll(leg, content.subarray(3 << 20), 64 * 1024);
    const answer = await Effect.runPromise(leg.finish());
    assert.equal(answer.code, 250);
    leg.release();
    const [message] = await listMaildir(folder);
    const file = await fs.readFile(message?.file ?? "");
    assert.equal(Buffer.compare(file.subarray(returnPath.length), content), 0);
  }));

test("what leaves together with the dot is part of the message, and the null path is <>", () =>
  withFolder(async (folder) => {
    const upstream = upstreamAt(folder);
    const leg = await Effect.runPromise(upstream.open({ from: null, params: {}, id: "t" }));
    await Effect.runPromise(leg.rcpt({ to: mailbox("bob@example.org"), params: {} }));
    await Effect.runPromise(leg.data());
    leg.write(bytes("a\r\n."));
    await Effect.runPromise(leg.finish(bytes(".b\r\n")));
    leg.release();
    const [message] = await listMaildir(folder);
    assert.equal(
      await fs.readFile(message?.file ?? "", "latin1"),
      "Return-Path: <>\r\na\r\n.b\r\n",
    );
  }));

test("R3: a leg that is released before finish leaves nothing behind", () =>
  withFolder(async (folder) => {
    const upstream = upstreamAt(folder);
    for (const size of [0, 10, 3 << 20]) {
      const leg = await ready(upstream, "alice@example.org", "bob@example.org");
      leg.write(new Uint8Array(size).fill(0x61));
      leg.release();
      leg.release();
      await leg.released;
      assert.deepEqual(await allFiles(folder), []);
    }
    const unused = await begin(upstream);
    unused.release();
    await unused.released;
  }));

test("R3: a leg that is released while the disk is busy delivers whole or not at all", () =>
  withFolder(async (folder) => {
    const leg = await ready(upstreamAt(folder), "bob@example.org");
    leg.write(bytes("whole\r\n"));
    const finished = Effect.runPromise(Effect.result(leg.finish()));
    leg.release();
    await finished;
    await leg.released;
    for (const file of await allFiles(folder)) {
      assert.match(file, /\/new\//);
      assert.equal(await fs.readFile(join(folder, file), "latin1"), `${returnPath}whole\r\n`);
    }
  }));

test("many deliveries at once have names of their own", () =>
  withFolder(async (folder) => {
    const count = 60;
    // Two mailboxes over one path, and a clock that stands.
    const upstreams = [upstreamAt(folder, () => 1000), upstreamAt(folder, () => 1000)];
    await Promise.all(
      Array.from({ length: count }, (_, n) => {
        const upstream = upstreams[n % 2];
        assert.ok(upstream !== undefined);
        return deliver(upstream, ["bob@example.org"], bytes(`Message: ${n}\r\n`));
      }),
    );
    const stored = await listMaildir(folder);
    const texts = await Promise.all(stored.map((message) => fs.readFile(message.file, "latin1")));
    assert.equal(new Set(texts).size, count);
    assert.equal((await allFiles(folder)).length, count);
  }));

test("recipients of one transaction share one file, and one named twice gets it once", () =>
  withFolder(async (folder) => {
    await deliver(
      upstreamAt(folder),
      ["alice@example.org", "bob@example.org", "alice@EXAMPLE.org"],
      bytes("x\r\n"),
    );
    const stored = await listMaildir(folder);
    assert.deepEqual(stored.map((message) => message.recipient), [
      "alice@example.org",
      "bob@example.org",
    ]);
    const inodes = await Promise.all(stored.map(async (m) => (await fs.stat(m.file)).ino));
    assert.equal(inodes[0], inodes[1]);
    assert.equal((await allFiles(folder)).length, 2, "nothing is left in tmp/");
  }));

/** A folder on another file system than the temporary one; undefined where this machine has none. */
function otherFileSystem(): string | undefined {
  try {
    if (statSync("/dev/shm").dev !== statSync(tmpdir()).dev) return "/dev/shm";
  } catch {
    // No such folder.
  }
  return undefined;
}

/** A file system of one MiB; false where we may not mount one. */
function mountSmall(folder: string): boolean {
  return spawnSync("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", folder]).status === 0;
}

function unmount(folder: string): void {
  spawnSync("umount", [folder]);
}

function canMount(): boolean {
  const folder = mkdtempSync(join(tmpdir(), "postern-maildir-"));
  try {
    const mounted = mountSmall(folder);
    if (mounted) unmount(folder);
    return mounted;
  } finally {
    rmdirSync(folder);
  }
}

const shared = otherFileSystem();

test("where a link cannot be made the message is copied", {
  skip: shared === undefined ? "there is no second file system at /dev/shm" : false,
}, () =>
  withFolder(async (folder) => {
    const other = await fs.mkdtemp(join(shared ?? "", "postern-maildir-"));
    try {
      await fs.symlink(other, join(folder, "bob@example.org"));
      await deliver(upstreamAt(folder), ["alice@example.org", "bob@example.org"], bytes("x\r\n"));
      const stored = await listMaildir(folder);
      assert.deepEqual(stored.map((message) => message.recipient), [
        "alice@example.org",
        "bob@example.org",
      ]);
      for (const message of stored) {
        assert.equal(await fs.readFile(message.file, "latin1"), `${returnPath}x\r\n`);
      }
      assert.deepEqual((await allFiles(other)).filter((file) => !file.startsWith("new/")), []);
    } finally {
      await fs.rm(other, { recursive: true });
    }
  }));

test("a path that cannot be a folder is LegDown with the true reason", () =>
  withFolder(async (folder) => {
    await fs.writeFile(join(folder, "file"), "");
    const upstream = upstreamAt(join(folder, "file", "mail"));
    const opened = await down(
      upstream.open({ from: null, params: {}, id: "t" }),
    );
    assert.equal(opened.phase, "connect");
    assert.match(opened.message, /^upstream local maildir:.*\/file\/mail: .*ENOTDIR/);
    assert.match((await down(upstream.check())).message, /cannot store messages: .*ENOTDIR/);
  }));

test("a recipient's folder that cannot be made is LegDown, and the next try finds it repaired", () =>
  withFolder(async (folder) => {
    const upstream = upstreamAt(folder);
    await fs.writeFile(join(folder, "bob@example.org"), "");
    const leg = await begin(upstream);
    const error = await down(leg.rcpt({ to: mailbox("bob@example.org"), params: {} }));
    assert.equal(error.phase, "envelope");
    leg.release();
    await fs.unlink(join(folder, "bob@example.org"));
    await deliver(upstream, ["bob@example.org"], bytes("x\r\n"));
    assert.equal((await listMaildir(folder)).length, 1);
  }));

test("R1: when one recipient's folder fails at the end, no recipient keeps the message", () =>
  withFolder(async (folder) => {
    const leg = await ready(upstreamAt(folder), "alice@example.org", "bob@example.org");
    leg.write(bytes("x\r\n"));
    await fs.rmdir(join(folder, "bob@example.org", "new"));
    await fs.writeFile(join(folder, "bob@example.org", "new"), "");
    const error = await down(leg.finish());
    assert.equal(error.phase, "body", "the outcome is known: nothing was delivered");
    assert.match(error.message, /cannot store the message: .*ENOTDIR/);
    leg.release();
    await leg.released;
    assert.deepEqual(await allFiles(folder), ["bob@example.org/new"]);
  }));

test("a folder that was removed while the process runs is made again", () =>
  withFolder(async (folder) => {
    const upstream = upstreamAt(folder);
    await deliver(upstream, ["bob@example.org"], bytes("1\r\n"));
    await fs.rm(join(folder, "bob@example.org"), { recursive: true });
    await deliver(upstream, ["bob@example.org"], bytes("2\r\n"));
    assert.equal((await listMaildir(folder)).length, 1);
  }));

test("data without a recipient is refused", () =>
  withFolder(async (folder) => {
    const leg = await begin(upstreamAt(folder));
    const answer = await Effect.runPromise(leg.data());
    assert.equal(`${answer.code} ${answer.enhanced}`, "503 5.5.1");
    leg.release();
  }));

test("R1: a full disk is 452 4.3.1, nothing is delivered, and the room is given back", {
  skip: canMount() ? false : "a small tmpfs cannot be mounted here",
}, () =>
  withFolder(async (folder) => {
    const disk = join(folder, "disk");
    await fs.mkdir(disk);
    assert.ok(mountSmall(disk));
    try {
      const upstream = upstreamAt(join(disk, "mail"));
      const leg = await ready(upstream, "alice@example.org", "bob@example.org");
      let told = 0;
      leg.failed = () => told++;
      await writeAll(leg, new Uint8Array(8 << 20).fill(0x61), 256 * 1024);
      const answer = await Effect.runPromise(leg.finish(bytes("\r\n")));
      assert.equal(`${answer.code} ${answer.enhanced}`, "452 4.3.1");
      assert.equal(told, 0, "a full disk is an answer, not a broken upstream");
      leg.release();
      await leg.released;
      assert.deepEqual(await allFiles(disk), []);
      await deliver(upstream, ["bob@example.org"], bytes("small\r\n"));
    } finally {
      unmount(disk);
    }
  }));

test("check finds a good path, and old leftovers of our own are removed from tmp", () =>
  withFolder(async (folder) => {
    const hour = 3_600_000;
    const now = Date.now();
    const tmp = join(folder, "bob@example.org", "tmp");
    await fs.mkdir(tmp, { recursive: true });
    const files: readonly (readonly [string, number])[] = [
      ["1700000000.M000001P1Q1.mx.test", 37],
      ["1700000000.M000001P1Q2.mx.test", 35],
      ["1700000000.M000001P1Q3.other.test", 37],
      ["1700000000.12_3.mx.test", 37],
    ];
    for (const [name, age] of files) {
      await fs.writeFile(join(tmp, name), "x");
      const then = (now - age * hour) / 1000;
      await fs.utimes(join(tmp, name), then, then);
    }
    await Effect.runPromise(upstreamAt(folder, () => now).check());
    assert.deepEqual(
      (await fs.readdir(tmp)).sort(),
      files.slice(1).map(([name]) => name).sort(),
    );
    assert.deepEqual(await listMaildir(folder), []);
    assert.deepEqual(await fs.readdir(folder), ["bob@example.org"]);
  }));

test("the listing has new and cur, never tmp, and nothing of a path that is not there", () =>
  withFolder(async (folder) => {
    await deliver(upstreamAt(folder), ["bob@example.org"], bytes("x\r\n"));
    const base = join(folder, "bob@example.org");
    const [name] = await fs.readdir(join(base, "new"));
    await fs.rename(join(base, "new", `${name}`), join(base, "cur", `${name}:2,S`));
    await fs.writeFile(join(base, "tmp", "x"), "");
    await fs.mkdir(join(folder, ".hidden"));
    const stored = await listMaildir(folder);
    assert.deepEqual(stored.map((message) => message.file), [join(base, "cur", `${name}:2,S`)]);
    assert.deepEqual(await listMaildir(join(folder, "absent")), []);
  }));

test("folder names are one safe path component, and are read back", async () => {
  const table: readonly (readonly [string, string])[] = [
    ["bob@example.org", "bob@example.org"],
    ["Bob+tag@Example.ORG", "Bob+tag@example.org"],
    ["../../etc/passwd@example.org", "%2E%2E%2F.%2E%2Fetc%2Fpasswd@example.org"],
    ["..@example.org", "%2E%2E@example.org"],
    [".x@example.org", "%2Ex@example.org"],
    ["a..b@example.org", "a.%2Eb@example.org"],
    ["a@b@example.org", "a%40b@example.org"],
    ["a\0b%41@example.org", "a%00b%2541@example.org"],
    ["bob@[IPv6:2001:db8::1]", "bob@%5Bipv6%3A2001%3Adb8%3A%3A1%5D"],
    ["b\u00fccher@example.org", "b%C3%BCcher@example.org"],
    ["PostMaster@example.org", "postmaster@example.org"],
    ["postmaster", "postmaster@mx.test"],
  ];
  for (const [address, expected] of table) {
    const folder = await folderName(mailbox(address), "MX.test");
    assert.equal(folder, expected);
    assert.equal(
      recipientOf(folder)?.toLowerCase(),
      address === "postmaster" ? "postmaster@mx.test" : address.toLowerCase(),
    );
  }
  const long = `${"\u00fc".repeat(32)}@${"d".repeat(60)}.test`;
  const shortened = await folderName(mailbox(long), "mx.test");
  assert.ok(shortened.length <= 255);
  assert.notEqual(shortened, await folderName(mailbox(`\u00fc${long}`), "mx.test"));
  assert.equal(recipientOf(shortened), shortened);
});

test("two addresses have one folder only if they are the same mailbox", async () => {
  const part = fc.string({ minLength: 1, maxLength: 80, unit: "binary" });
  await fc.assert(
    fc.asyncProperty(part, part, async (a, b) => {
      const names = await Promise.all(
        [a, b].map((local) =>
          folderName({ address: "", local, domain: "example.org", utf8: true }, "mx.test")
        ),
      );
      for (const name of names) {
        assert.match(name, /^[A-Za-z0-9_+=%-][A-Za-z0-9._+=%@~-]*$/);
        assert.ok(!name.includes("..") && name.length <= 255);
      }
      const [x, y] = [a, b].map((text) => /^postmaster$/i.test(text) ? text.toLowerCase() : text);
      assert.equal(names[0] === names[1], x === y);
    }),
  );
});

test("R2, R3: after kill -9 in the middle, what was acknowledged is there and nothing is cut", () =>
  withFolder(async (folder) => {
    const script = fileURLToPath(new URL("../support/maildir_writer.ts", import.meta.url));
    const flags = "Deno" in globalThis ? ["run", "-A"] : [];
    const child = spawn(process.execPath, [...flags, script, folder], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const exited = once(child, "exit");
    const acknowledged: number[] = [];
    for await (const line of createInterface({ input: child.stdout })) {
      const [word, n] = line.split(" ");
      if (word === "acknowledged") acknowledged.push(Number(n));
      // Others are in the middle of their writes now.
      if (word === "begun" && acknowledged.length >= 12) child.kill("SIGKILL");
    }
    await exited;
    assert.ok(acknowledged.length >= 12);
    const delivered = new Map<string, Set<number>>();
    for (const message of await listMaildir(folder)) {
      const file = (await fs.readFile(message.file)).subarray("Return-Path: <>\r\n".length);
      const n = Number(/^Message: (\d+)\r\n/.exec(file.toString("latin1", 0, 40))?.[1]);
      assert.equal(Buffer.compare(file, numberedMessage(n)), 0, `message ${n} is whole`);
      const seen = delivered.get(message.recipient) ?? new Set();
      assert.ok(!seen.has(n), `message ${n} once`);
      delivered.set(message.recipient, seen.add(n));
    }
    for (const recipient of ["alice@example.org", "bob@example.org"]) {
      for (const n of acknowledged) assert.ok(delivered.get(recipient)?.has(n), `message ${n}`);
    }
  }));
