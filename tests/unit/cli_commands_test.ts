/** Commands, run in this process as a person would type them. @module */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { describe, test } from "node:test";
import { getColorEnabled } from "@std/fmt/colors";
import { runCli } from "../../src/cli/run.ts";
import { SPECS } from "../../src/cli/specs.ts";
import { passwords } from "../../src/pipeline/passwords.ts";
import { parseSettings } from "../../src/settings/parse.ts";
import { VERSION } from "../../src/version.ts";
import { fakeIo, withFolder, type World } from "../support/cli_io.ts";

async function postern(args: readonly string[], world: World = {}) {
  const io = fakeIo(world);
  const code = await runCli(args, io);
  return { code, out: io.out(), err: io.err() };
}

const oneLine = /^postern: [^\n]+\n$/;

describe("postern help", () => {
  test("lists every command on standard output, as no arguments do", async () => {
    const { code, out, err } = await postern(["help"]);
    assert.equal(code, 0);
    assert.equal(err, "");
    for (const { name, summary } of SPECS) assert.match(out, new RegExp(`${name} +${summary}`));
    assert.equal((await postern([])).out, out);
    assert.equal((await postern(["--help"])).out, out);
  });

  test("describes each command, as its --help does", async () => {
    for (const { name, flags } of SPECS) {
      const { code, out, err } = await postern(["help", ...name.split(" ")]);
      assert.equal(code, 0, name);
      assert.equal(err, "");
      assert.match(out, new RegExp(`Usage: postern ${name}`));
      for (const flag of Object.keys(flags)) assert.match(out, new RegExp(`--${flag}\\b`));
      assert.equal((await postern([...name.split(" "), "--help"])).out, out);
      assert.equal((await postern(["-h", ...name.split(" ")])).out, out);
    }
  });

  test("describes a group of commands", async () => {
    const { code, out } = await postern(["help", "user"]);
    assert.equal(code, 0);
    for (const name of ["user add", "user remove", "user list"]) {
      assert.match(out, new RegExp(name));
    }
    assert.equal((await postern(["user", "--help"])).out, out);
  });

  test("has colours where they are wanted and nowhere else", async () => {
    // Where this very process runs under NO_COLOR, Deno lets nobody have colours.
    const colored = async (args: readonly string[], world: World) =>
      /\x1b\[1m/.test((await postern(args, world)).out) || !getColorEnabled();
    assert.doesNotMatch((await postern(["help"])).out, /\x1b/);
    assert(await colored(["help"], { terminals: ["stdout"] }));
    assert(await colored(["help"], { env: { FORCE_COLOR: "1" } }));
    const refused = await postern(["help", "--no-color"], { env: { FORCE_COLOR: "1" } });
    assert.doesNotMatch(refused.out, /\x1b/);
  });
});

describe("a wrong command line", () => {
  for (
    const [args, expected] of [
      [["srve"], /Unknown command "srve"; did you mean "serve"\? \(see "postern help"\)/],
      [["init", "--hostnme", "x"], /did you mean "--hostname"\? \(see "postern help init"\)/],
      [["user"], /Missing command: one of user add, user remove, user list/],
      [["user", "add"], /Missing argument NAME/],
      [["help", "nothing"], /Unknown command "nothing"/],
      [["version", "extra"], /Unexpected argument "extra"/],
      [["-c"], /Option --config needs a value: FILE/],
      [["x\x1b[31m\ny"], /Unknown command "x\\u001b\[31m\\ny"/],
    ] as const
  ) {
    test(`gets one line and exit code 2: ${JSON.stringify(args)}`, async () => {
      const { code, out, err } = await postern(args);
      assert.equal(code, 2);
      assert.equal(out, "");
      assert.match(err, oneLine);
      assert.match(err, expected);
    });
  }
});

test("an error that nobody expected is one line, and its stack is there for who asks", async () => {
  const broken = (env: Record<string, string>) => {
    const io = fakeIo({ env });
    const failing = {
      ...io,
      stdout: () => {
        throw new Error("on purpose");
      },
    };
    return runCli(["version"], failing).then((code) => ({ code, err: io.err() }));
  };
  const quiet = await broken({});
  assert.equal(quiet.code, 1);
  assert.equal(
    quiet.err,
    "postern: Unexpected error: on purpose (set POSTERN_DEBUG=1 for the stack)\n",
  );
  const loud = await broken({ POSTERN_DEBUG: "1" });
  assert.match(loud.err, /^postern: Unexpected error: on purpose\nError: on purpose\n +at /);
});

test("postern version tells the version and the runtime", async () => {
  const { code, out } = await postern(["version"]);
  assert.equal(code, 0);
  assert.match(out, /^postern \S+ \((?:Deno|Bun) \d+\.\d+\.\d+\S*, \w+ \w+\)\n$/);
  assert.equal(out.split(" ")[1], VERSION);
  assert.equal((await postern(["--version"])).out, out);
});

test("postern schema prints a JSON Schema that knows the configuration's tables", async () => {
  const { code, out } = await postern(["schema"]);
  assert.equal(code, 0);
  const schema = JSON.parse(out) as { type: string; properties: Record<string, unknown> };
  assert.equal(schema.type, "object");
  for (const key of ["hostname", "listeners", "upstreams", "routes", "plugins"]) {
    assert(Object.hasOwn(schema.properties, key), key);
  }
});

describe("postern init", () => {
  const read = (file: string) => {
    const text = fs.readFileSync(file, "utf8");
    const result = parseSettings(text, {
      file,
      baseDir: path.dirname(file),
      env: () => undefined,
      readFile: () => {
        throw new Error("There is nothing to read");
      },
    });
    assert(result.ok, result.ok ? "" : JSON.stringify(result.problems));
    assert.deepEqual(result.warnings, []);
    return result.settings;
  };

  test("writes a configuration that is right as it stands", () =>
    withFolder(async (cwd) => {
      const { code, out } = await postern(["init"], { cwd });
      assert.equal(code, 0);
      assert.match(out, /^Wrote postern\.toml\n/);
      const settings = read(path.join(cwd, "postern.toml"));
      assert.equal(settings.hostname, "mx.example.org");
      assert.deepEqual(settings.routes.map((route) => route.to), [["example.org"]]);
      assert.deepEqual(settings.upstreams[0]?.servers, [
        { kind: "maildir", path: path.join(cwd, "mail") },
      ]);
    }));

  test("is still right with every comment of it turned into a setting", () =>
    withFolder(async (cwd) => {
      await postern(["init"], { cwd });
      const file = path.join(cwd, "postern.toml");
      const text = fs.readFileSync(file, "utf8").split("\n")
        .map((line) => /^# ([a-z_]+ = |\[)/.test(line) ? line.slice(2) : line).join("\n")
        .replace('{ env = "RELAY_PASSWORD" }', '"x"');
      fs.writeFileSync(file, text);
      const settings = read(file);
      assert.deepEqual(settings.listeners.map(({ name }) => name), ["mx", "submission"]);
      assert.deepEqual(settings.plugins.map(({ use }) => use), [
        "auth-file",
        "rate-limit",
        "spam-score",
      ]);
    }));

  test("takes names and servers", () =>
    withFolder(async (cwd) => {
      const { code } = await postern([
        ...["init", "--hostname", "mx.a.test", "--domain", "a.test", "--domain", "*.b.test"],
        ...["--upstream", "10.0.0.5:25", "--upstream", "smtps://10.0.0.6:465", "edge.toml"],
      ], { cwd });
      assert.equal(code, 0);
      const settings = read(path.join(cwd, "edge.toml"));
      assert.equal(settings.hostname, "mx.a.test");
      assert.deepEqual(settings.routes[0]?.to, ["a.test", "*.b.test"]);
      assert.deepEqual(settings.upstreams[0]?.servers.map((server) => server.kind), [
        "smtp",
        "smtp",
      ]);
    }));

  test("writes into a folder", () =>
    withFolder(async (cwd) => {
      fs.mkdirSync(path.join(cwd, "etc"));
      assert.match((await postern(["init", "etc"], { cwd })).out, /^Wrote etc\/postern\.toml\n/);
      read(path.join(cwd, "etc", "postern.toml"));
    }));

  test("refuses to overwrite, unless forced", () =>
    withFolder(async (cwd) => {
      const file = path.join(cwd, "postern.toml");
      fs.writeFileSync(file, "mine");
      const { code, out, err } = await postern(["init"], { cwd });
      assert.equal(code, 1);
      assert.equal(out, "");
      assert.equal(
        err,
        "postern: Cannot write postern.toml: it exists already (--force replaces it)\n",
      );
      assert.equal(fs.readFileSync(file, "utf8"), "mine");
      assert.equal((await postern(["init", "--force"], { cwd })).code, 0);
      read(file);
    }));

  for (
    const [args, expected] of [
      [["--hostname", "a b"], /--hostname: expected a host name, got "a b"/],
      [["--hostname", 'x"\ny = "z'], /--hostname: expected a host name/],
      [["--domain", "a..b"], /--domain: expected a domain, got "a\.\.b"/],
      [["--upstream", "10.0.0.5"], /--upstream: expected "host:port", got "10\.0\.0\.5"/],
    ] as const
  ) {
    test(`refuses ${JSON.stringify(args)} and writes nothing`, () =>
      withFolder(async (cwd) => {
        const { code, err } = await postern(["init", ...args], { cwd });
        assert.equal(code, 2);
        assert.match(err, oneLine);
        assert.match(err, expected);
        assert.deepEqual(fs.readdirSync(cwd), []);
      }));
  }

  test("says in one line why it cannot write", () =>
    withFolder(async (cwd) => {
      const { code, err } = await postern(["init", "no/such/postern.toml"], { cwd });
      assert.equal(code, 1);
      assert.match(err, oneLine);
      assert.match(err, /Cannot use .*postern\.toml: it does not exist/);
    }));
});

describe("postern user", () => {
  const users = (cwd: string) => fs.readFileSync(path.join(cwd, "users.txt"), "utf8");

  test("R18: add takes the password from standard input and writes its hash alone", () =>
    withFolder(async (cwd) => {
      const { code, out, err } = await postern(["user", "add", "alice", "--password-stdin"], {
        cwd,
        input: "wonder land\r\nnot this\n",
      });
      assert.equal(code, 0);
      assert.equal(out, "Added alice to users.txt\n");
      assert.doesNotMatch(out + err + users(cwd), /wonder/);
      const [, name, hash] = /^([^:]+):(.+)\n$/.exec(users(cwd))!;
      assert.equal(name, "alice");
      assert.match(hash!, /^\$argon2id\$/);
      assert.equal(await passwords.verify(hash!, "wonder land"), true);
      assert.equal(await passwords.verify(hash!, "wonder land\r"), false);
      assert.equal(fs.statSync(path.join(cwd, "users.txt")).mode & 0o777, 0o600);
      assert.deepEqual(fs.readdirSync(cwd), ["users.txt"]);
    }));

  test("R18: add --scram writes a secret for SCRAM-SHA-256 in the place of every line of the name", () =>
    withFolder(async (cwd) => {
      fs.writeFileSync(path.join(cwd, "users.txt"), "bob:x\nalice:old\nalice:older\n");
      const args = ["user", "add", "alice", "--scram", "--password-stdin"];
      const { code, out, err } = await postern(args, { cwd, input: "wonder land\n" });
      assert.deepEqual([code, out], [0, "Changed the password of alice in users.txt\n"]);
      assert.doesNotMatch(out + err + users(cwd), /wonder/);
      const [, hash] = /^bob:x\nalice:(.+)\n$/.exec(users(cwd))!;
      assert.match(hash!, /^\{SCRAM-SHA-256\}60000,[^,]+,[^,]+,[^,]+$/);
      assert.equal(await passwords.verify(hash!, "wonder land"), true);
      const refused = await postern(args, { cwd, input: "bell\u0007\n" });
      assert.equal(refused.code, 1);
      assert.match(refused.err, /SASLprep/);
    }));

  test("add asks a terminal twice", () =>
    withFolder(async (cwd) => {
      const terminals = ["stdin"] as const;
      const { code, err } = await postern(["user", "add", "bob", "-f", "u"], {
        cwd,
        terminals,
        secrets: ["s3cret", "s3cret"],
      });
      assert.equal(code, 0);
      assert.equal(err, "New password for bob: \nThe same again: \n");
      assert.match(fs.readFileSync(path.join(cwd, "u"), "utf8"), /^bob:\$argon2id\$/);
    }));

  for (
    const [what, world, code, expected] of [
      ["two different passwords", { secrets: ["a", "b"] }, 1, /The passwords differ/],
      ["an empty password", { secrets: [""] }, 1, /The password is empty/],
      ["a cancelled question", { secrets: ["a"] }, 1, /Cancelled/],
      ["no terminal", { terminals: [] }, 2, /use --password-stdin/],
    ] as const
  ) {
    test(`add changes nothing after ${what}`, () =>
      withFolder(async (cwd) => {
        const result = await postern(["user", "add", "bob"], {
          cwd,
          terminals: ["stdin"],
          ...world,
        });
        assert.equal(result.code, code);
        assert.match(result.err, expected);
        assert.deepEqual(fs.readdirSync(cwd), []);
      }));
  }

  for (const input of ["", "\n", "a\0b\n", new Uint8Array([0xff, 0xfe, 0x0a])]) {
    test(`add refuses ${JSON.stringify(input)} as a password on standard input`, () =>
      withFolder(async (cwd) => {
        const { code, err } = await postern(["user", "add", "bob", "--password-stdin"], {
          cwd,
          input,
        });
        assert.equal(code, 1);
        assert.match(err, oneLine);
        assert.deepEqual(fs.readdirSync(cwd), []);
      }));
  }

  for (const name of ["a:b", "#a", " a", "a\nb", "x".repeat(256)]) {
    test(`add refuses the name ${JSON.stringify(name.slice(0, 8))}`, () =>
      withFolder(async (cwd) => {
        const { code, err } = await postern(["user", "add", name, "--password-stdin"], {
          cwd,
          input: "a\n",
        });
        assert.equal(code, 2);
        assert.match(err, oneLine);
        assert.deepEqual(fs.readdirSync(cwd), []);
      }));
  }

  test("list and remove work on what is there, and keep the rest of the file", () =>
    withFolder(async (cwd) => {
      const file = path.join(cwd, "users.txt");
      fs.writeFileSync(file, "# staff\nalice:x\n\nbob:y\n# the end\n");
      assert.equal((await postern(["user", "list"], { cwd })).out, "alice\nbob\n");
      assert.equal((await postern(["user", "remove", "alice"], { cwd })).code, 0);
      assert.equal(users(cwd), "# staff\n\nbob:y\n# the end\n");
      const again = await postern(["user", "remove", "alice"], { cwd });
      assert.equal(again.code, 1);
      assert.match(again.err, /Cannot remove "alice" from users\.txt: there is no such user/);
    }));

  test("list and remove say that the file is not there", () =>
    withFolder(async (cwd) => {
      for (const args of [["list"], ["remove", "alice"]]) {
        const { code, err } = await postern(["user", ...args], { cwd });
        assert.equal(code, 1);
        assert.match(err, /does not exist\n$/);
      }
    }));
});
