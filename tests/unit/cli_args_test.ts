/** The command line's parser and the search for a command. @module */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { commandFirst, type CommandSpec, parseCommand } from "../../src/cli/args.ts";
import { UsageError } from "../../src/cli/errors.ts";
import { resolve } from "../../src/cli/resolve.ts";
import { SPECS } from "../../src/cli/specs.ts";

const spec = {
  name: "try",
  summary: "Try",
  flags: {
    force: { kind: "boolean", short: "f", description: "" },
    hostname: { kind: "string", short: "n", value: "NAME", default: "here", description: "" },
    to: { kind: "list", value: "ADDRESS", description: "" },
    subject: { kind: "string", description: "" },
  },
  words: {
    first: { value: "FIRST", description: "", required: true },
    second: { value: "SECOND", description: "", required: false },
  },
} as const satisfies CommandSpec;

function input(...args: string[]) {
  const request = parseCommand(spec, args);
  assert.equal(request.kind, "run");
  return (request as Extract<typeof request, { kind: "run" }>).input;
}

function usage(...args: string[]): string {
  try {
    parseCommand(spec, args);
  } catch (error) {
    assert(error instanceof UsageError);
    assert.equal(error.exitCode, 2);
    assert.equal(error.command, "try");
    return error.message;
  }
  assert.fail(`${args.join(" ")} is taken`);
}

describe("a command's options", () => {
  test("have their defaults", () => {
    assert.deepEqual(input("a"), {
      flags: { force: false, hostname: "here", to: [], subject: undefined },
      words: { first: "a", second: undefined },
    });
  });

  test("are taken long, short, with = and between the words", () => {
    const expected = {
      flags: { force: true, hostname: "mx", to: ["x", "y"], subject: "s" },
      words: { first: "a", second: "b" },
    };
    assert.deepEqual(
      input("--force", "a", "--hostname", "mx", "--to=x", "b", "--to", "y", "--subject=s"),
      expected,
    );
    assert.deepEqual(
      input("-f", "-n", "mx", "a", "b", "--to", "x", "--to", "y", "--subject", "s"),
      expected,
    );
  });

  test("keep numbers, dots and things that look like properties as text", () => {
    assert.deepEqual(input("007", "1e3", "--subject", "0x10").words, {
      first: "007",
      second: "1e3",
    });
    assert.equal(input("a", "--subject", "0x10").flags.subject, "0x10");
    assert.equal(input("constructor").words.first, "constructor");
  });

  test("end at --, behind which everything is a word", () => {
    assert.deepEqual(input("--", "--force", "-x").words, { first: "--force", second: "-x" });
  });

  test("a lone - is a word", () => {
    assert.equal(input("-").words.first, "-");
  });

  test("unknown ones are refused with the nearest right one", () => {
    assert.equal(
      usage("a", "--hostnme", "x"),
      'Unknown option --hostnme; did you mean "--hostname"?',
    );
    assert.equal(usage("a", "--zzzzzz"), "Unknown option --zzzzzz");
    assert.equal(usage("a", "-z"), "Unknown option -z");
    assert.match(usage("a", "--no-force"), /^Unknown option --no-force/);
    assert.match(usage("a", "--__proto__=1"), /^Unknown option --__proto__/);
    assert.match(usage("a", "--constructor.name", "1"), /^Unknown option --constructor/);
  });

  test("missing and surplus values are refused", () => {
    assert.equal(usage("a", "--hostname"), "Option --hostname needs a value: NAME");
    assert.equal(usage("a", "--hostname", "--force"), "Option --hostname needs a value: NAME");
    assert.equal(usage("a", "--to="), "Option --to needs a value: ADDRESS");
    assert.equal(usage("a", "--force=maybe"), "Option --force takes no value");
  });

  test("missing and surplus words are refused", () => {
    assert.equal(usage(), "Missing argument FIRST");
    assert.equal(usage("a", "b", "c"), 'Unexpected argument "c"');
  });

  test("--help wins over what is missing", () => {
    assert.equal(parseCommand(spec, ["--help"]).kind, "help");
    assert.equal(parseCommand(spec, ["-h", "a", "b", "c"]).kind, "help");
  });
});

describe("options before the command", () => {
  test("are moved behind it", () => {
    assert.deepEqual(commandFirst(["-c", "x.toml", "serve"]), ["serve", "--config=x.toml"]);
    assert.deepEqual(commandFirst(["--no-color", "user", "add", "a"]), [
      "user",
      "add",
      "a",
      "--no-color",
    ]);
    assert.deepEqual(commandFirst(["-h", "serve", "--", "x"]), ["serve", "--help", "--", "x"]);
  });

  test("stand for a command where there is none", () => {
    assert.deepEqual(commandFirst([]), []);
    assert.deepEqual(commandFirst(["--help"]), ["help"]);
    assert.deepEqual(commandFirst(["--version"]), ["version"]);
  });

  test("leave what is behind the command alone", () => {
    assert.deepEqual(commandFirst(["send", "--anything", "-1"]), ["send", "--anything", "-1"]);
  });

  test("are refused when unknown", () => {
    assert.throws(() => commandFirst(["--confg", "x", "serve"]), /did you mean "--config"/);
  });
});

describe("the command", () => {
  test("is found by one word or two", () => {
    assert.deepEqual(names(resolve(["serve", "x"])), ["serve", ["x"]]);
    assert.deepEqual(names(resolve(["user", "add", "x"])), ["user add", ["x"]]);
  });

  test("is a group while its second word is missing", () => {
    assert.equal(resolve(["user"]).kind, "group");
    assert.equal(resolve(["user", "--help"]).kind, "group");
  });

  test("is refused when unknown, with the nearest right one", () => {
    assert.throws(() => resolve(["srve"]), {
      message: 'Unknown command "srve"; did you mean "serve"?',
    });
    assert.throws(() => resolve(["xyzzy"]), { message: 'Unknown command "xyzzy"' });
    assert.throws(() => resolve(["user", "ad"]), /did you mean "user add"/);
    assert.throws(() => resolve(["constructor"]), /Unknown command/);
  });

  function names(found: ReturnType<typeof resolve>) {
    assert.equal(found.kind, "command");
    return found.kind === "command" ? [found.spec.name, found.rest] : [];
  }
});

test("every command is described in full, and no option letter is taken twice", () => {
  for (const each of SPECS) {
    assert.match(each.summary, /^[A-Z].*[^.]$/, each.name);
    const letters = Object.values(each.flags).flatMap((flag) => flag.short ?? []);
    assert.equal(new Set(["h", ...letters]).size, letters.length + 1, each.name);
    for (const [name, flag] of Object.entries(each.flags)) {
      assert.match(flag.description, /^[A-Z]/, `${each.name} --${name}`);
    }
  }
});
