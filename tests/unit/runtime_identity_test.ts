/** Certificates from files, self-made, and looked at. */
import assert from "node:assert/strict";
import { chmodSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { describe, test } from "node:test";
import { readText, tempDir } from "../../src/runtime/files.ts";
import { inspectCertificate, loadIdentity, selfSigned } from "../../src/runtime/identity.ts";
import { nodeNetwork } from "../../src/runtime/node_net.ts";
import { testAuthority, testChain, testIdentity } from "../support/certificates.ts";
import { connected, listening, probe } from "../support/duplex.ts";

const { ca, leaf } = await testChain(["MX.test", "*.wild.test", "192.0.2.1"]);
const plain = await testIdentity(["plain.test"]);
const DAY = 86_400_000;

describe("inspectCertificate", () => {
  test("tells names, dates, issuer, fingerprint", () => {
    const facts = inspectCertificate(leaf.cert + ca.cert);
    assert.deepEqual(facts.names, ["mx.test", "*.wild.test"]);
    assert.equal(facts.issuer, "CN=Test CA");
    assert.equal(facts.selfSigned, false);
    assert.match(facts.fingerprint, /^[0-9a-f]{64}$/);
    assert.ok(facts.notBefore.getTime() < Date.now());
    assert.ok(facts.notAfter.getTime() > Date.now());
  });

  test("tells a self-signed one, and not one that only bears the issuer's name", async () => {
    assert.equal(inspectCertificate(plain.cert).selfSigned, true);
    const namesake = await testIdentity(["Test CA"], { ca: await testAuthority() });
    assert.equal(inspectCertificate(namesake.cert).selfSigned, false);
  });

  test("takes the common name where there is no DNS name", async () => {
    const authority = await testAuthority("Old.test");
    assert.deepEqual(inspectCertificate(authority.cert).names, ["old.test"]);
  });

  test("a name with a comma in it cannot add another (CVE-2021-44532)", async () => {
    const odd = await testIdentity(["good.test", "a, DNS:evil.test"]);
    assert.equal(inspectCertificate(odd.cert).names.includes("evil.test"), false);
    assert.equal(inspectCertificate(odd.cert).names.includes("good.test"), true);
  });

  test("refuses what is no certificate", () => {
    assert.throws(() => inspectCertificate(""), { message: /^Cannot use certificate: / });
    assert.throws(() => inspectCertificate(leaf.key), { message: /^Cannot use certificate: / });
  });
});

describe("loadIdentity", () => {
  async function load(files: { cert?: string; key?: string }) {
    const folder = await tempDir();
    const paths = { cert: join(folder.path, "mx.pem"), key: join(folder.path, "mx.key") };
    if (files.cert !== undefined) writeFileSync(paths.cert, files.cert);
    if (files.key !== undefined) writeFileSync(paths.key, files.key);
    try {
      return { paths, result: await loadIdentity(paths), message: "" };
    } catch (error) {
      return { paths, result: undefined, message: error instanceof Error ? error.message : "" };
    } finally {
      await folder.remove();
    }
  }

  test("reads a chain and its key", async () => {
    const { result } = await load({ cert: leaf.cert + ca.cert, key: leaf.key });
    assert.deepEqual(result?.names, ["mx.test", "*.wild.test"]);
    assert.equal(result?.cert, leaf.cert + ca.cert);
  });

  const cases = [
    ["certificate that does not exist", { key: leaf.key }, "Cannot open certificate: ", "cert"],
    ["key that does not exist", { cert: leaf.cert }, "Cannot open key: ", "key"],
    [
      "key of another",
      { cert: leaf.cert, key: plain.key },
      "Cannot use certificate: the key ",
      "key",
    ],
    ["certificate that is none", { cert: "x", key: leaf.key }, "Cannot use certificate: ", "cert"],
    ["key that is none", { cert: leaf.cert, key: "x" }, "Cannot use key: ", "key"],
    [
      "encrypted key",
      {
        cert: leaf.cert,
        key: "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
      },
      "Cannot use key: ",
      "key",
    ],
  ] as const;
  for (const [what, files, start, path] of cases) {
    test(`a ${what} is told in one line, with path and cure`, async () => {
      const { message, paths } = await load(files);
      assert.ok(message.startsWith(start), message);
      assert.ok(message.includes(paths[path]), message);
      assert.match(message, /;/);
      assert.equal(message.includes("\n"), false);
      assert.equal(message.includes("PRIVATE"), false);
    });
  }

  test("a key that may not be read says who must be let in", async (t) => {
    if (process.getuid?.() === 0) return t.skip("root may read everything");
    const folder = await tempDir();
    const paths = { cert: join(folder.path, "c"), key: join(folder.path, "k") };
    writeFileSync(paths.cert, leaf.cert);
    writeFileSync(paths.key, leaf.key);
    chmodSync(paths.key, 0);
    await assert.rejects(loadIdentity(paths), {
      message: /let the user that runs Postern read it$/,
    });
    await folder.remove();
  });
});

describe("selfSigned", () => {
  test("makes, keeps and reuses a certificate; the key is for its owner only", async () => {
    const folder = await tempDir();
    const dataDir = join(folder.path, "data");
    const made = await selfSigned(dataDir, "Mail.Example.test");
    assert.deepEqual(made.names, ["mail.example.test", "localhost"]);
    assert.equal(statSync(join(dataDir, "self-signed.key")).mode & 0o777, 0o600);
    assert.equal(await readText(join(dataDir, "self-signed.crt")), made.cert);
    assert.deepEqual(await selfSigned(dataDir, "mail.example.test"), made);
    assert.equal(inspectCertificate(made.cert).selfSigned, true);
    await folder.remove();
  });

  test("makes a new one for another name, near its end, and over a broken file", async () => {
    const folder = await tempDir();
    const first = await selfSigned(folder.path, "a.test");
    const renamed = await selfSigned(folder.path, "b.test");
    assert.notEqual(renamed.cert, first.cert);
    const later = new Date(Date.now() + 360 * DAY);
    const renewed = await selfSigned(folder.path, "b.test", later);
    assert.notEqual(renewed.cert, renamed.cert);
    assert.ok(inspectCertificate(renewed.cert).notAfter.getTime() > later.getTime() + 300 * DAY);
    writeFileSync(join(folder.path, "self-signed.key"), "broken");
    const mended = await selfSigned(folder.path, "b.test", later);
    assert.notEqual(mended.cert, renewed.cert);
    assert.equal(statSync(join(folder.path, "self-signed.key")).mode & 0o777, 0o600);
    await folder.remove();
  });

  test("serves the host name, localhost and both loopback addresses, verified against itself", async () => {
    const folder = await tempDir();
    const identity = await selfSigned(folder.path, "mail.test");
    const network = nodeNetwork();
    const tls = network.tlsServer({
      identities: [identity],
      minVersion: "1.2",
      clientCertificate: "none",
      handshakeTimeout: 5_000,
    });
    const port = await listening(network, (duplex) => probe(duplex), { tls });
    for (const serverName of ["mail.test", "localhost", "127.0.0.1", "::1"]) {
      const client = await connected(network, port, {
        tls: {
          serverName,
          verify: true,
          ca: identity.cert,
          minVersion: "1.2",
          handshakeTimeout: 5_000,
        },
      });
      assert.equal(client.tls?.peer?.verified, true, serverName);
      client.destroy();
    }
    await port.close();
    await folder.remove();
  });

  test("a folder that cannot be written is told in one line", async () => {
    const folder = await tempDir();
    const file = join(folder.path, "file");
    writeFileSync(file, "");
    await assert.rejects(selfSigned(join(file, "data"), "a.test"), {
      message: /^Cannot keep the self-signed certificate: .* is not writable/,
    });
    await folder.remove();
  });
});
