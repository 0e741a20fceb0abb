/** `postern check`, run in this process. @module */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { describe, test } from "node:test";
import { runCli } from "../../src/cli/run.ts";
import { testAuthority, testChain, testIdentity } from "../support/certificates.ts";
import { fakeIo, withFolder, type World } from "../support/cli_io.ts";
import { scriptedUpstream } from "../support/scripted_upstream.ts";

async function check(cwd: string, args: readonly string[] = [], world: World = {}) {
  const io = fakeIo({ cwd, ...world });
  const code = await runCli(["check", ...args], io);
  return { code, out: io.out(), err: io.err() };
}

const HEAD = `hostname = "mx.example.org"
data_dir = "data"

[[listeners]]
name = "mx"
listen = "127.0.0.1:2525"
`;

/** A configuration with one upstream; `more` goes behind it. */
function config(servers: string, more = ""): string {
  return `${HEAD}
[upstreams.mailbox]
servers = [${servers.split(" ").map((server) => `"${server}"`).join(", ")}]

[[routes]]
to = ["example.org"]
upstream = "mailbox"
${more}`;
}

/** Writes the files, and checks. */
function checking<A>(
  files: Readonly<Record<string, string>>,
  work: (run: (...args: string[]) => ReturnType<typeof check>, cwd: string) => Promise<A>,
): Promise<A> {
  return withFolder((cwd) => {
    for (const [name, text] of Object.entries(files)) {
      fs.writeFileSync(path.join(cwd, name), text);
    }
    return work((...args) => check(cwd, args), cwd);
  });
}

const maildir = "maildir:./mail";
const days = (count: number) => new Date(Date.now() + count * 86_400_000);

describe("what is right", () => {
  test("gets a line each and exit code 0", () =>
    checking({ "postern.toml": config(maildir) }, async (run, cwd) => {
      const { code, out, err } = await run();
      assert.equal(err, "");
      assert.equal(code, 0);
      assert.match(out, /^postern\.toml\n {2}ok {4}hostname {4}mx\.example\.org\n/);
      assert.match(out, / {2}ok {4}mx {10}127\.0\.0\.1:2525, STARTTLS\n/);
      assert.match(out, / {2}ok {4}to mailbox {2}example\.org\n/);
      assert.match(out, /\nPlugins\n {2}ok {4}received {2}starts\n/);
      assert(out.includes(`ok    mailbox  maildir:${cwd}/mail: messages can be stored\n`), out);
      assert.match(out, /\nAll is well\n$/);
      assert.doesNotMatch(out, /\x1b/);
      // A certificate is made by the start, not by the check.
      assert.match(out, /none is configured, one will be made in/);
      assert(!fs.existsSync(path.join(cwd, "data")));
    }));

  test("no line is longer than 100 columns, where words allow it", () =>
    checking({
      "postern.toml": config(maildir, '[[routes]]\nupstream = "mailbox"\n'),
    }, async (run) => {
      const { out } = await run();
      for (const line of out.split("\n")) assert(line.length <= 100, line);
    }));

  test("is found where $POSTERN_CONFIG says, and told where none is", () =>
    checking({ "edge.toml": config(maildir) }, async (_run, cwd) => {
      const found = await check(cwd, ["--offline"], { env: { POSTERN_CONFIG: "edge.toml" } });
      assert.equal(found.code, 0);
      assert.match(found.out, /^edge\.toml\n/);
      const lost = await check(cwd, [], { env: { XDG_CONFIG_HOME: path.join(cwd, "none") } });
      assert.equal(lost.code, 2);
      assert.equal(lost.out, "");
      assert.match(lost.err, /^postern: No configuration: looked for postern\.toml in [^\n]+\n$/);
      const named = await check(cwd, ["-c", "none.toml"]);
      assert.equal(named.code, 2);
      assert.equal(named.err, "postern: Cannot read none.toml: it does not exist\n");
    }));
});

describe("a wrong configuration", () => {
  test("is told whole, with places, and exit code 2", () =>
    checking({
      "postern.toml": config("10.0.0.5", '[[plugins]]\nuse = "spam-score"\nmdoe = "off"\n'),
    }, async (run) => {
      const { code, out, err } = await run();
      assert.equal(code, 2);
      assert.equal(out, "");
      const lines = err.trimEnd().split("\n");
      assert.equal(lines.length, 2, err);
      assert.match(
        lines[0]!,
        /^postern\.toml:9:12: upstreams\.mailbox\.servers\[0\]: expected "host/,
      );
      assert.match(lines[1]!, /^postern\.toml:16:1: .*did you mean "mode"/);
    }));

  test("of several plugins is told whole, with places", () =>
    checking({
      "broken.ts": "export default 5;\n",
      "postern.toml": config(
        maildir,
        [
          '[[plugins]]\nuse = "rate-limt"\n',
          '[[plugins]]\nuse = "./broken.ts"\n',
          '[[plugins]]\nuse = "spam-score"\noptions = { tag_at = "much" }\n',
          '[[plugins]]\nuse = "auth-file"\noptions = { users = "none.txt" }\n',
        ].join(""),
      ),
    }, async (run) => {
      const { code, out } = await run();
      assert.equal(code, 2);
      const text = out.replace(/\n {8}/g, " ");
      assert.match(text, /postern\.toml:15:7: plugins\[0\]\.use: .*did you mean "rate-limit"\?/);
      assert.match(text, /postern\.toml:17:7: plugins\[1\]\.use: .*not a function/);
      assert.match(text, /postern\.toml:20:22: plugins\[2\]\.options\.tag_at: /);
      assert.match(text, /postern\.toml:21:1: plugins\[3\]: .*none\.txt/);
      // What else there is to say is said all the same.
      assert.match(out, /messages can be stored/);
      assert.match(out, /\n4 problems\n$/);
    }));

  test("trust anchors that cannot be read", () =>
    checking({
      "postern.toml": config("127.0.0.1:25").replace(
        "servers",
        'tls = "verify"\nca = "none.pem"\nservers',
      ),
    }, async (run) => {
      const { code, out } = await run();
      assert.equal(code, 2);
      assert.match(out, /postern\.toml:10:6: upstreams\.mailbox\.ca: Cannot read trust anchors/);
    }));
});

test("a dangerous configuration gets a warning, and exit code 0", () =>
  checking(
    { "postern.toml": config(maildir, '[[routes]]\nupstream = "mailbox"\n') },
    async (run) => {
      const { code, out } = await run();
      assert.equal(code, 0);
      assert.match(out, / {2}warn {2}postern\.toml:14:1: routes\[1\]: [^]*open relay/);
      assert.match(out, /\n1 warning\n$/);
    },
  ));

test("what a plugin complains about at its start is a warning", () =>
  checking({
    "users.txt": "# nobody\nthis is no user\n",
    "postern.toml": config(
      maildir,
      '[[plugins]]\nuse = "auth-file"\noptions = { users = "users.txt" }\n',
    ),
  }, async (run) => {
    const { code, out } = await run();
    assert.equal(code, 0);
    assert.match(
      out,
      / {2}warn {2}auth-file {2}Users file: a line is not login:hash file=users\.txt/,
    );
  }));

describe("certificates", () => {
  const tls = '[tls]\ncertificates = [{ cert = "mx.pem", key = "mx.key" }]\n';
  const looked = async (
    names: readonly string[],
    times: { readonly notBefore?: Date; readonly notAfter?: Date },
    key?: string,
  ) => {
    const made = await testIdentity(names, { notAfter: days(90.5), ...times });
    return await checking({
      "mx.pem": made.cert,
      "mx.key": key ?? made.key,
      "postern.toml": config(maildir, tls),
    }, (run) => run());
  };

  test("that are right", async () => {
    const { code, out } = await looked(["mx.example.org"], {});
    assert.equal(code, 0);
    assert.match(
      out,
      /Certificates\n {2}ok {4}mx\.pem {2}self-signed, valid until \d{4}-\d\d-\d\d \(90 days\); for mx\.example\.org\n/,
    );
  });

  test("that cover the host name by a wildcard of one label", async () => {
    assert.equal((await looked(["*.example.org"], {})).code, 0);
    assert.match((await looked(["*.example.org"], {})).out, /All is well/);
    assert.match((await looked(["*.org"], {})).out, /mx\.example\.org {2}is in no certificate/);
  });

  test("that end in less than 14 days are a warning", async () => {
    const { code, out } = await looked(["mx.example.org"], { notAfter: days(13.5) });
    assert.equal(code, 0);
    assert.match(out, / {2}warn {2}mx\.pem {2}expires in 13 days \(\d{4}-\d\d-\d\d\), renew it/);
  });

  test("that have expired, or are not valid yet, fail with exit code 1", async () => {
    const old = await looked(["mx.example.org"], { notBefore: days(-9), notAfter: days(-1) });
    assert.equal(old.code, 1);
    assert.match(old.out, / {2}FAIL {2}mx\.pem {2}expired on \d{4}-\d\d-\d\d, renew it/);
    const early = await looked(["mx.example.org"], { notBefore: days(2), notAfter: days(90) });
    assert.equal(early.code, 1);
    assert.match(early.out, / {2}FAIL {2}mx\.pem {2}is not valid before/);
  });

  test("for another name are a warning", async () => {
    const { code, out } = await looked(["smtp.example.org"], {});
    assert.equal(code, 0);
    assert.match(out, / {2}warn {2}mx\.example\.org {2}is in no certificate/);
  });

  test("with another's key are wrong, with the place and exit code 2", async () => {
    const other = await testIdentity(["mx.example.org"]);
    const { code, out } = await looked(["mx.example.org"], {}, other.key);
    assert.equal(code, 2);
    assert.match(
      out.replace(/\n {8}/g, " "),
      /FAIL {2}postern\.toml:15:17: tls\.certificates\[0\]: .*does not belong/,
    );
    assert.doesNotMatch(out, /BEGIN/);
  });
});

describe("upstreams", () => {
  test("are asked as the proxy asks them: STARTTLS, certificate, login", async () => {
    const { ca, leaf } = await testChain(["127.0.0.1"]);
    await using server = await scriptedUpstream({
      tls: leaf,
      capabilities: ["PIPELINING", "8BITMIME", "SIZE 1000", "AUTH PLAIN"],
    });
    const toml = config(server.address).replace(
      "servers",
      'tls = "verify"\nca = "ca.pem"\nauth = { user = "relay", password = "secret" }\nservers',
    );
    await checking({ "ca.pem": ca.cert, "postern.toml": toml }, async (run) => {
      const { code, out } = await run();
      assert.equal(code, 0, out);
      assert(
        new RegExp(
          `ok    mailbox  ${server.address}: TLSv1\\.[23], logged in as relay, ` +
            "offers PIPELINING 8BITMIME SIZE 1000\\n",
        ).test(out),
        out,
      );
      assert.doesNotMatch(out, /secret/);
      assert(!server.connections[0]!.commands.some((line) => line.startsWith("MAIL")));
    });
    const stranger = await testAuthority("Somebody else");
    await checking({ "ca.pem": stranger.cert, "postern.toml": toml }, async (run) => {
      const { code, out } = await run();
      assert.equal(code, 1);
      assert.match(out.replace(/\n +/g, " "), /FAIL {2}mailbox {2}\S+: TLS handshake failed: /);
    });
  });

  test("that refuse the login, or do not answer, fail with exit code 1; the others are asked", async () => {
    await using good = await scriptedUpstream();
    await using gone = await scriptedUpstream();
    await using refusing = await scriptedUpstream({ banner: "554 5.7.1 not you" });
    await gone.stop();
    const toml = config(`${gone.address} ${refusing.address} ${good.address}`);
    await checking({ "postern.toml": toml }, async (run) => {
      const { code, out } = await run();
      assert.equal(code, 1);
      assert.match(
        out,
        new RegExp(`FAIL {2}mailbox {2}${gone.address}: cannot connect: connection refused`),
      );
      assert.match(out, new RegExp(`FAIL {2}mailbox {2}${refusing.address}: greeted with 554`));
      assert.match(out, new RegExp(`ok {4}mailbox {2}${good.address}: no TLS, offers PIPELINING`));
      assert.match(out, /\n2 problems\n$/);
    });
  });

  test("are not asked with --offline", async () => {
    await using server = await scriptedUpstream();
    await checking({ "postern.toml": config(server.address) }, async (run) => {
      const { code, out } = await run("--offline");
      assert.equal(code, 0);
      assert.match(out, /mailbox {2}\S+: not asked \(--offline\)/);
      assert.equal(server.count("connect"), 0);
    });
  });

  test("a mailbox whose folder cannot be made fails with exit code 1", () =>
    checking({
      "mail": "a file where a folder should be",
      "postern.toml": config("maildir:./mail/deeper"),
    }, async (run) => {
      const { code, out } = await run();
      assert.equal(code, 1);
      assert.match(out, /FAIL {2}mailbox {2}/);
    }));
});
