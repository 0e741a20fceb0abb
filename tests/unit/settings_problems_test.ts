/** Wrong configurations: every problem with its exact place and words. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { MOST_PROBLEMS, type ParseOptions, parseSettings } from "../../src/settings/parse.ts";
import { formatPath, formatProblem, quote } from "../../src/settings/problem.ts";

const OPTIONS: ParseOptions = {
  file: "postern.toml",
  baseDir: "/etc/postern",
  env: (name) => new Map([["SECRET", "hunter2"], ["EMPTY", ""]]).get(name),
  readFile: (path) => {
    if (path === "/etc/postern/secret") return "hunter2\n";
    throw new Error("no such file");
  },
};

function problemsOf(text: string): string[] {
  const result = parseSettings(text, OPTIONS);
  return result.ok ? [] : result.problems.map((p) => formatProblem(p).replace("postern.toml:", ""));
}

function warningsOf(text: string): string[] {
  const result = parseSettings(text, OPTIONS);
  if (!result.ok) assert.fail(result.problems.map(formatProblem).join("\n"));
  return result.warnings.map((p) => formatProblem(p).replace("postern.toml:", ""));
}

/** A right file in five lines, with room for more at each part; what is added stands from line 6 on, or in its part. */
function file(parts: {
  top?: string;
  listener?: string;
  upstream?: string;
  route?: string;
  more?: string;
}): string {
  return `hostname = "a"; ${parts.top ?? ""}`.replace("; ", "\n") + `
[[listeners]]
listen = "0.0.0.0:25"
${parts.listener ?? ""}
[upstreams.mailbox]
${parts.upstream ?? 'servers = ["10.0.0.5:25"]'}
[[routes]]
${parts.route ?? 'to = ["example.org"]\nupstream = "mailbox"'}
${parts.more ?? ""}
`;
}

type Table = readonly (readonly [text: string, ...problems: string[]])[];

function run(table: Table, of: (text: string) => string[]): void {
  for (const [text, ...expected] of table) assert.deepEqual(of(text), expected, text);
}

test("the file that the tables vary is right", () => {
  assert.deepEqual(warningsOf(file({})), []);
});

test("the sentence of behaviour.md", () => {
  const text = `${"\n".repeat(9)}hostname = "mx.example.org"
[[listeners]]
listen = "0.0.0.0:25"
[upstreams.mailbox]
servers= ["10.0.0.5"]
[[routes]]
to = ["example.org"]
upstream = "mailbox"
`;
  const result = parseSettings(text, OPTIONS);
  assert.ok(!result.ok);
  assert.equal(
    formatProblem(result.problems[0]!),
    'postern.toml:14:11: upstreams.mailbox.servers[0]: expected "host:port", got "10.0.0.5"',
  );
});

test("R39: no TOML", () => {
  run([
    ["hostname = ", "1:12: not valid TOML: invalid value"],
    ['a = 1\nb = "x', "2:5: not valid TOML: unfinished string"],
    ["[a]\n[a]\n", "2:2: not valid TOML: trying to redefine an already defined table or value"],
    ["a = 1\na = 2\n", "2:1: not valid TOML: trying to redefine an already defined table or value"],
  ], problemsOf);
});

test("R39: a state that is none", () => {
  const wrong = (text: string) =>
    [
      file({ top: `state = "${text}"` }),
      `2:9: state: expected "memory", "sqlite" or "sqlite:PATH", got "${text}"`,
    ] as const;
  run([
    wrong("redis"),
    wrong("sqlite:"),
    wrong("sqlite://host/a.db"),
    wrong("sqlite::memory:"),
  ], problemsOf);
});

test("R39: unknown keys, with the nearest right one", () => {
  run([
    [
      file({ top: "hostnames = 1" }),
      '2:1: hostnames: unknown key "hostnames"; did you mean "hostname"?',
    ],
    [file({ top: "colour = 1" }), '2:1: colour: unknown key "colour"'],
    [
      file({ route: 'to = ["a.test"]\nuptream = "mailbox"' }),
      '10:1: routes[0].uptream: unknown key "uptream"; did you mean "upstream"?',
    ],
    [
      file({ more: "[limit]\nrecipients = 5" }),
      '11:2: limit: unknown key "limit"; did you mean "limits"?',
    ],
    [
      file({ more: "[limits]\nrecipient = 5" }),
      '12:1: limits.recipient: unknown key "recipient"; did you mean "recipients"?',
    ],
    [
      file({ listener: 'data_dir = "x"' }),
      '5:1: listeners[0].data_dir: unknown key "data_dir"; it belongs to the top level, before the first [table]',
    ],
    [
      file({ top: "message_size = 5" }),
      '2:1: message_size: unknown key "message_size"; it belongs in [limits]',
    ],
    [
      file({ top: "proxy_protocol = []" }),
      '2:1: proxy_protocol: unknown key "proxy_protocol"; it belongs in [[listeners]]',
    ],
    [
      file({ top: "max_uses = 1" }),
      '2:1: max_uses: unknown key "max_uses"; it belongs in [upstreams.NAME]',
    ],
    [
      file({ top: 'tls = { certificates = [{ cert = "a", keys = "b" }] }' }),
      '2:39: tls.certificates[0].keys: unknown key "keys"; did you mean "key"?',
    ],
    [
      file({}).replaceAll("[upstreams.", "[upstream."),
      '6:2: upstream: unknown key "upstream"; did you mean "upstreams"?',
    ],
    [
      file({}).replace("[[listeners]]", "[[listener]]").replace("hostname", "host_name"),
      '1:1: host_name: unknown key "host_name"; did you mean "hostname"?',
      '3:3: listener: unknown key "listener"; did you mean "listeners"?',
    ],
    [file({ top: '"a\\nb" = 1' }), '2:1: "a\\nb": unknown key "a\\nb"'],
  ], problemsOf);
});

test("R34: keys that every object has are unknown like any other", () => {
  for (const key of ["__proto__", "constructor", "toString", "hasOwnProperty", "valueOf"]) {
    run([
      [file({ top: `${key} = 1` }), `2:1: ${key}: unknown key "${key}"`],
      [file({ listener: `${key} = {}` }), `5:1: listeners[0].${key}: unknown key "${key}"`],
    ], problemsOf);
  }
  run([
    [
      file({ more: "[upstreams.__proto__]\nservers = 5" }),
      '11:12: upstreams.__proto__: expected a name of letters, digits, ".", "_" and "-", got "__proto__"',
    ],
    [
      file({ more: '[upstreams.constructor]\nservers = ["a:1"]' }),
      '11:12: upstreams.constructor: the name "constructor" is reserved',
    ],
    [
      file({ more: '[[plugins]]\nuse = "x"\noptions = { a = [{ __proto__ = 1 }] }' }),
      '13:20: plugins[0].options.a[0].__proto__: the key "__proto__" is reserved',
    ],
    [
      file({ route: 'to = ["a.test"]\nupstream = "valueOf"' }),
      '10:12: routes[0].upstream: there is no upstream "valueOf"',
    ],
    [
      file({ listener: 'tls = "constructor"' }),
      '5:7: listeners[0].tls: expected "none" | "starttls" | "implicit", got "constructor"',
    ],
  ], problemsOf);
});

test("R39: values of the wrong kind", () => {
  run([
    [
      "listeners = 5",
      '1:1: hostname: missing key "hostname"',
      "1:13: listeners: expected a list, got 5",
    ],
    [
      file({ top: 'workers = "many"' }),
      '2:11: workers: expected "auto" or an integer from 1 to 1024, got "many"',
    ],
    [file({ top: "workers = 2" }), "2:11: workers: not in this version: 2; use workers = 1"],
    [file({ top: 'group = "mail"' }), "2:9: group: needs user"],
    [file({ top: "received = 1" }), "2:12: received: expected true or false, got 1"],
    [
      file({ upstream: 'servers = ["a:1"]\nidentity = "xclint"' }),
      '8:12: upstreams.mailbox.identity: expected "none" | "xclient" | "xforward" | "proxy-v1" | "proxy-v2", got "xclint"; did you mean "xclient"?',
    ],
    [
      file({ upstream: "servers = []" }),
      "7:11: upstreams.mailbox.servers: expected a list that is not empty, got an empty list",
    ],
    [file({ upstream: "" }), '6:1: upstreams.mailbox.servers: missing key "servers"'],
    [
      file({ more: "[limits]\nerrors = 0\nrecipients = 1.5\nmessage_size = '25mb'\nhops = nan" }),
      "12:10: limits.errors: expected an integer of at least 1, got 0",
      "13:14: limits.recipients: expected an integer of at least 1, got 1.5",
      '14:16: limits.message_size: expected a size such as "25MiB" or a number of octets, got "25mb"',
      "15:8: limits.hops: expected an integer from 1 to 1000, got NaN",
    ],
    [
      file({ more: '[timeouts]\ndata = 5\nsession = "30d"\ndrain = "0s"\nupstream_idle = "x"' }),
      '12:8: timeouts.data: expected a duration such as "30s", "5m" or "1h", got 5',
      '13:11: timeouts.session: expected a duration such as "30s", "5m" or "1h", got "30d"',
      '14:9: timeouts.drain: expected a duration such as "30s", "5m" or "1h", got "0s"',
      '15:17: timeouts.upstream_idle: expected a duration such as "30s", "5m" or "1h", or "0s", got "x"',
    ],
    [
      file({ listener: 'xclient = ["10.0.0.0/33", "localhost"]' }),
      '5:12: listeners[0].xclient[0]: expected an address or a network such as "10.0.0.0/8", got "10.0.0.0/33"',
      '5:27: listeners[0].xclient[1]: expected an address or a network such as "10.0.0.0/8", got "localhost"',
    ],
    [
      file({ route: 'to = ["*"]\nupstream = "mailbox"' }),
      '9:7: routes[0].to[0]: expected a domain such as "example.org" or "*.example.org", got "*"',
    ],
    [
      file({}).replace('"a"', '"a b"'),
      '1:12: hostname: expected a host name such as "mx.example.org", got "a b"',
    ],
    [
      file({}).replace('"a"', "2026-01-01"),
      '1:12: hostname: expected a host name such as "mx.example.org", got a date',
    ],
    [
      file({ top: 'tls.client_ca = ""' }),
      '2:17: tls.client_ca: expected a path, got ""',
    ],
  ], problemsOf);
});

test("R39: no listener, no address, two of one", () => {
  run([
    ['hostname = "a"', "1:1: listeners: no listener: add [[listeners]] with a listen address"],
    [
      'hostname = "a"\nlisteners = []',
      "2:13: listeners: no listener: add [[listeners]] with a listen address",
    ],
    [
      'hostname = "a"\n[[listeners]]\nlisten = "25"\n[[listeners]]\n',
      '3:10: listeners[0].listen: expected "host:port", got "25"',
      '4:1: listeners[1].listen: missing key "listen"',
    ],
    [
      file({ more: '[[listeners]]\nlisten = "0.0.0.0:25"' }),
      '12:10: listeners[1].listen: "0.0.0.0:25" is taken by listeners[0].listen',
    ],
    [
      file({ more: '[admin]\nlisten = "0.0.0.0:25"' }),
      '12:10: admin.listen: "0.0.0.0:25" is taken by listeners[0].listen',
    ],
    [
      file({ more: '[dns]\nservers = ["resolver.test:53"]' }),
      '12:12: dns.servers[0]: expected the address and port of a resolver such as "127.0.0.1:53" or "[::1]:53", got "resolver.test:53"',
    ],
    [
      file({ more: '[admin]\nlisten = "unix:/x"' }),
      '12:10: admin.listen: expected "host:port", got "unix:/x"',
    ],
    [
      file({ listener: 'name = "mx"', more: '[[listeners]]\nname = "mx"\nlisten = "0.0.0.0:26"' }),
      '12:8: listeners[1].name: the name "mx" is taken by listeners[0]',
    ],
    [
      file({ listener: 'name = "m x"' }),
      '5:8: listeners[0].name: expected a name of letters, digits, ".", "_" and "-", got "m x"',
    ],
  ], problemsOf);
});

test("port 0 may be asked for many times", () => {
  const text = file({
    more: '[[listeners]]\nlisten = "0.0.0.0:0"\n[[listeners]]\nlisten = "0.0.0.0:0"',
  });
  assert.deepEqual(warningsOf(text), []);
});

test("R15: AUTH where no TLS can be", () => {
  const refused =
    '6:8: listeners[0].auth: AUTH is taken under TLS only, and this listener has tls = "none"; use "starttls" or "implicit", or auth_plaintext_loopback = true';
  const plugin = '[[plugins]]\nuse = "auth-file"';
  run([
    [file({ listener: 'tls = "none"\nauth = "required"', more: plugin }), refused],
    [file({ listener: 'tls = "none"\nauth = "optional"', more: plugin }), refused],
    [
      file({
        listener: 'tls = "none"\nauth = "optional"\nauth_plaintext_loopback = true',
        more: plugin,
      }),
    ],
    [
      file({ listener: 'tls = "none"\nrequire_tls = true\nclient_certificate = "require"' }),
      '6:15: listeners[0].require_tls: this listener has tls = "none"',
      '7:22: listeners[0].client_certificate: this listener has tls = "none"',
    ],
  ], problemsOf);
});

test("R39: names that do not exist, with the nearest", () => {
  run([
    [
      file({ route: 'to = ["a.test"]\nupstream = "mailbix"' }),
      '10:12: routes[0].upstream: there is no upstream "mailbix"; did you mean "mailbox"?',
    ],
    [
      file({ listener: 'name = "mx"', route: 'listeners = ["mx", "mxx"]\nupstream = "mailbox"' }),
      '9:20: routes[0].listeners[1]: there is no listener "mxx"; did you mean "mx"?',
    ],
    [
      file({
        listener: 'name = "submission"',
        more: '[[plugins]]\nuse = "x"\nlisteners = ["submision"]',
      }),
      '13:14: plugins[0].listeners[0]: there is no listener "submision"; did you mean "submission"?',
    ],
  ], problemsOf);
});

test("R39: plugins whose order, share or condition makes no sense", () => {
  const plugin = (keys: string) => file({ more: `[[plugins]]\nuse = "rate-limit"\n${keys}` });
  run([
    [
      plugin('after = ["recieved", "nobody"]'),
      '13:10: plugins[0].after[0]: there is no plugin "recieved"; did you mean "received"?',
      '13:22: plugins[0].after[1]: there is no plugin "nobody"',
    ],
    [
      plugin('before = ["rate-limit"]'),
      "13:11: plugins[0].before[0]: a plugin does not stand before itself",
    ],
    [plugin('after = ["received"]\npercent = 0')],
    [
      plugin("percent = 101"),
      "13:11: plugins[0].percent: expected an integer from 0 to 100, got 101",
    ],
    [
      plugin('when = { networks = ["10.0.0.0/33"], sender_domain = ["a.test"] }'),
      '13:22: plugins[0].when.networks[0]: expected an address or a network such as "10.0.0.0/8", got "10.0.0.0/33"',
      '13:38: plugins[0].when.sender_domain: unknown key "sender_domain"; did you mean "sender_domains"?',
    ],
    [
      plugin("when = { helo = [] }"),
      "13:17: plugins[0].when.helo: expected a list that is not empty, got an empty list",
    ],
  ], problemsOf);
  run([
    [
      plugin('mode = "shadow"\npercent = 5'),
      '14:11: plugins[0].percent: has no effect without mode = "enforce"',
    ],
  ], warningsOf);
});

test("R39: a quarantine that is no upstream", () => {
  run([
    [
      file({ top: 'quarantine = "mailbix"' }),
      '2:14: quarantine: there is no upstream "mailbix"; did you mean "mailbox"?',
    ],
    [file({ top: 'quarantine = "mailbox"' })],
  ], problemsOf);
});

test("R39: what this version cannot do is refused, with what to use", () => {
  run([
    [
      file({ upstream: 'servers = ["lmtp://10.0.0.5:24", "mx:"]' }),
      '7:12: upstreams.mailbox.servers[0]: not in this version: "lmtp://"; use "host:port" of an SMTP server, or "maildir:./folder"',
      '7:34: upstreams.mailbox.servers[1]: not in this version: "mx:"; name the servers, as "host:port"',
    ],
    [
      file({ upstream: 'servers = ["a:1"]\nmode = "spool"' }),
      '8:8: upstreams.mailbox.mode: not in this version: "spool"; use mode = "inline"',
    ],
    [
      file({ upstream: 'servers = ["a:1"]\nmode = "inline-then-spool"' }),
      '8:8: upstreams.mailbox.mode: not in this version: "inline-then-spool"; use mode = "inline"',
    ],
  ], problemsOf);
});

test("upstreams that contradict themselves", () => {
  run([
    [
      file({ upstream: 'servers = ["a:1", "maildir:./mail"]' }),
      "7:19: upstreams.mailbox.servers[1]: a maildir must be the only server of its upstream",
    ],
    [
      file({ upstream: `servers = ["a:1"]\nfingerprint = "${"0".repeat(64)}"` }),
      '8:15: upstreams.mailbox.fingerprint: needs tls = "require" or "verify"',
    ],
    [
      file({ upstream: 'servers = ["a:1"]\nfingerprint = "00"' }),
      '8:15: upstreams.mailbox.fingerprint: expected the 64 hex digits of a SHA-256 fingerprint, got "00"',
      '8:15: upstreams.mailbox.fingerprint: needs tls = "require" or "verify"',
    ],
  ], problemsOf);
});

describe("references", () => {
  const password = (value: string) =>
    file({ upstream: `servers = ["a:1"]\nauth = { user = "u", password = ${value} }` });

  test("that cannot be resolved", () => {
    const at = "upstreams.mailbox.auth.password";
    run([
      [
        file({ more: '[[plugins]]\nuse = "x"\noptions = { a = [{ env = "NONE" }] }' }),
        '13:26: plugins[0].options.a[0].env: environment variable "NONE" is not set',
      ],
      [
        password('{ env = "NONE" }'),
        `8:41: ${at}.env: environment variable "NONE" is not set`,
      ],
      [
        password('{ file = "none" }'),
        `8:42: ${at}.file: cannot read "none": no such file`,
      ],
      [
        password('{ emv = "SECRET" }'),
        `8:35: ${at}.emv: unknown key "emv"; did you mean "env"?`,
      ],
      [
        password("{ env = 5 }"),
        `8:41: ${at}.env: expected the name of an environment variable, got a number`,
      ],
      [password('{ file = "" }'), `8:42: ${at}.file: expected a path, got ""`],
      [password("{}"), `8:33: ${at}: expected { env = "NAME" } or { file = "path" }`],
      [
        password('{ env = "SECRET", file = "secret" }'),
        `8:33: ${at}: expected { env = "NAME" } or { file = "path" }`,
      ],
      [
        password('{ env = "EMPTY" }'),
        `8:33: ${at}: expected a string that is not empty, { env = "NAME" } or { file = "path" }, got a string (not shown)`,
      ],
    ], problemsOf);
  });

  test("R18: no secret in any message", () => {
    const texts = [
      file({ upstream: 'servers = ["a:1"]\nauth = "hunter2"' }),
      file({ upstream: 'servers = ["a:1"]\nauth = ["hunter2"]' }),
      file({
        upstream: 'servers = ["a:1"]\nauth = { user = ["hunter2"], password = ["hunter2"] }',
      }),
      file({ upstream: 'servers = ["a:1"]\nauth = { user = "u", password = "hunter2' }),
      file({ upstream: 'servers = ["a:1"]\nauth = { user = "u", password = hunter2 }' }),
      file({ upstream: 'servers = ["a:1"]\nauth = { user = "u", pass = "hunter2" }' }),
      file({ upstream: 'servers = [{ env = "SECRET" }]\ntls = { file = "secret" }' }),
      file({ route: 'to = ["a.test"]\nupstream = { env = "SECRET" }' }),
      file({ listener: 'auth = { env = "SECRET" }' }),
      file({ more: '[admin]\ntokens = ["hunter2"]' }),
      file({ more: '[admin]\ntokens = "hunter2"' }),
      file({ more: '[admin]\ntokens = [{ name = "a", role = "hunter2", hash = ["hunter2"] }]' }),
      file({ more: '[admin]\nlisten = { env = "SECRET" }' }),
    ];
    for (const text of texts) {
      const problems = problemsOf(text);
      assert.ok(problems.length > 0, text);
      assert.ok(!problems.join("\n").includes("hunter2"), problems.join("\n"));
    }
  });
});

test("warnings: taken, and probably not meant", () => {
  const open =
    "takes every recipient from clients that have not authenticated: an open relay, unless the upstream refuses";
  const plugin = '[[plugins]]\nuse = "auth-file"\n';
  run([
    [
      file({ listener: 'auth = "required"' }),
      "5:8: listeners[0].auth: no plugin could check a password here: every login will fail",
    ],
    [
      file({ listener: 'auth = "required"', more: `${plugin}mode = "off"` }),
      "5:8: listeners[0].auth: no plugin could check a password here: every login will fail",
    ],
    [file({ listener: 'auth = "required"', more: plugin })],
    [file({ route: 'upstream = "mailbox"' }), `8:1: routes[0]: ${open}`],
    [
      file({ route: 'upstream = "mailbox"', listener: 'auth = "optional"', more: plugin }),
      `8:1: routes[0]: ${open}`,
    ],
    [file({ route: 'upstream = "mailbox"', listener: 'auth = "required"', more: plugin })],
    [file({ route: 'authenticated = true\nupstream = "mailbox"' })],
    [
      file({
        route: 'upstream = "mailbox"',
        more: '[[routes]]\nto = ["a.test"]\nupstream = "mailbox"',
      }),
      `8:1: routes[0]: ${open}`,
      "10:1: routes[1]: never used: an earlier route takes every recipient",
    ],
    [
      'hostname = "a"\n[[listeners]]\nlisten = "0.0.0.0:25"\n',
      "1:1: routes: no route: every recipient gets 550 5.7.1",
    ],
    [
      file({ upstream: 'servers = ["a:1"]\nca = "ca.pem"' }),
      '8:6: upstreams.mailbox.ca: has no effect without tls = "verify"',
    ],
    [
      file({ upstream: 'servers = ["a:1"]\ntls = "none"\nauth = { user = "u", password = "p" }' }),
      '9:8: upstreams.mailbox.auth: the password crosses the network in clear: tls = "none"',
    ],
    [file({
      upstream: 'servers = ["127.0.0.1:1"]\ntls = "none"\nauth = { user = "u", password = "p" }',
    })],
  ], warningsOf);
});

test("every problem at once, in file order, and no more than anybody reads", () => {
  const text = file({
    more: Array.from({ length: 50 }, (_, n) => `[x${n}]`).join("\n"),
    top: "y = 1",
  });
  const problems = problemsOf(text);
  assert.equal(problems.length, MOST_PROBLEMS);
  assert.equal(problems[0], '2:1: y: unknown key "y"');
  assert.equal(problems[1], '11:2: x0: unknown key "x0"');
  assert.equal(problems[19], '29:2: x18: unknown key "x18"');
});

test("a machine's own name that is no host name does not stand in for hostname", () => {
  const result = parseSettings(file({}).replace('hostname = "a"\n', "\n"), {
    ...OPTIONS,
    hostname: "a_b",
  });
  assert.ok(!result.ok);
  assert.deepEqual(result.problems.map((problem) => problem.message), [
    'missing key "hostname", and this machine\'s own name is not a host name',
  ]);
});

test("R26: one problem is one line, whatever the file holds", () => {
  assert.equal(
    quote("a\r\nb\u0085\u202e\u2028\u007f\u001b"),
    '"a\\r\\nb\\u0085\\u202e\\u2028\\u007f\\u001b"',
  );
  assert.equal(quote("x".repeat(1000)).length, 65);
  assert.equal(formatPath(["a b", 0, "c", "\n"]), '"a b"[0].c."\\n"');
});
