/** What a right configuration means. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import type * as v from "valibot";
import { type ConfigInput, defineConfig } from "../../src/settings/input.ts";
import { decodeConfig, type ParseOptions, parseSettings } from "../../src/settings/parse.ts";
import { formatProblem } from "../../src/settings/problem.ts";
import type { configSchema } from "../../src/settings/schema.ts";
import type { Settings } from "../../src/settings/settings.ts";

const FILES = new Map([["/etc/postern/smart_host.password", "from the file\r\n"], [
  "/run/secrets/name",
  "mx.example.org\n",
]]);
const ENV = new Map([["RELAY_PASSWORD", "from the environment"], ["TLS", "verify"]]);

const OPTIONS: ParseOptions = {
  file: "postern.toml",
  baseDir: "/etc/postern",
  env: (name) => ENV.get(name),
  readFile: (path) => {
    const text = FILES.get(path);
    if (text === undefined) throw new Error("no such file");
    return text;
  },
};

function settingsOf(
  text: string,
  options: Partial<ParseOptions> = {},
  warnings: readonly RegExp[] = [],
): Settings {
  const result = parseSettings(text, { ...OPTIONS, ...options });
  if (!result.ok) assert.fail(result.problems.map(formatProblem).join("\n"));
  assert.equal(result.warnings.length, warnings.length);
  result.warnings.forEach((warning, i) => assert.match(formatProblem(warning), warnings[i]!));
  return result.settings;
}

function example(name: string): string {
  return readFileSync(new URL(`../../examples/${name}`, import.meta.url), "utf8");
}

/** The smallest file and what it must mean; every default stands here. */
const SMALLEST: Settings = {
  hostname: "mx.example.org",
  dataDir: "/var/lib/postern",
  state: { kind: "memory" },
  user: undefined,
  group: undefined,
  workers: 1,
  received: true,
  listeners: [{
    name: "listener-1",
    listen: { host: "0.0.0.0", port: 25 },
    tls: "starttls",
    requireTls: false,
    auth: "off",
    authPlaintextLoopback: false,
    proxyProtocol: [],
    xclient: [],
    clientCertificate: "none",
  }],
  tls: { certificates: [], minVersion: "1.2", clientCa: undefined },
  limits: {
    messageSize: 25 * 1024 * 1024,
    recipients: 100,
    connections: 5000,
    connectionsPerAddress: 50,
    errors: 10,
    transactions: 10_000,
    idleCommands: 20,
    headerSize: 256 * 1024,
    heldMemory: 256 * 1024,
    hops: 100,
    commandLine: 512,
    textLine: 1000,
    longLines: "pass",
    bareNewline: "normalize",
    authFailures: 3,
  },
  timeouts: {
    command: 300_000,
    data: 300_000,
    session: 3_600_000,
    tlsHandshake: 30_000,
    proxyHeader: 10_000,
    upstreamConnect: 30_000,
    upstreamCommand: 300_000,
    upstreamData: 180_000,
    upstreamDataEnd: 600_000,
    upstreamIdle: 30_000,
    drain: 30_000,
  },
  upstreams: [{
    name: "mailbox",
    servers: [{ kind: "smtp", host: "10.0.0.5", port: 25, implicitTls: false }],
    balance: "round-robin",
    tls: "opportunistic",
    ca: undefined,
    fingerprint: undefined,
    identity: "none",
    auth: undefined,
    connections: 500,
    maxUses: 100,
    mode: "inline",
    replyText: false,
  }],
  routes: [{
    to: ["example.org"],
    authenticated: undefined,
    listeners: undefined,
    upstream: "mailbox",
  }],
  quarantine: undefined,
  plugins: [],
  admin: undefined,
  dns: { servers: undefined, timeout: 1_500, tries: 2, budget: 4_000, cache: 10_000 },
  trace: { history: "notable", size: 16 * 1024 * 1024 },
  log: { level: "info", format: "human" },
  baseDir: "/etc/postern",
};

describe("examples", () => {
  test("the smallest file has every default", () => {
    assert.deepEqual(settingsOf(example("mx.toml")), SMALLEST);
  });

  test("the full file means what its comments say", () => {
    const settings = settingsOf(example("full.toml"), {}, [
      /: admin: has no effect in this version/,
    ]);
    assert.equal(settings.dataDir, "/var/lib/postern");
    assert.deepEqual(
      settings.listeners.map(({ name, tls, requireTls, auth }) => [name, tls, requireTls, auth]),
      [
        ["mx", "starttls", false, "off"],
        ["submission", "starttls", true, "required"],
        ["submissions", "implicit", false, "required"],
      ],
    );
    assert.deepEqual(settings.tls.certificates, [
      { cert: "/etc/postern/mx.pem", key: "/etc/postern/mx.key" },
    ]);
    assert.deepEqual(settings.limits, SMALLEST.limits);
    assert.deepEqual(settings.timeouts, SMALLEST.timeouts);
    assert.deepEqual(settings.upstreams[0], {
      ...SMALLEST.upstreams[0],
      servers: [
        { kind: "smtp", host: "10.0.0.5", port: 25, implicitTls: false },
        { kind: "smtp", host: "10.0.0.6", port: 25, implicitTls: false },
      ],
      auth: { user: "relay", password: "from the environment" },
      connections: 20,
    });
    assert.deepEqual(settings.routes, [
      {
        to: ["example.org", "*.example.org"],
        authenticated: undefined,
        listeners: undefined,
        upstream: "mailbox",
      },
      { to: undefined, authenticated: true, listeners: undefined, upstream: "mailbox" },
    ]);
    assert.deepEqual(
      settings.plugins.map(({ use, path }) => [use, path]),
      [
        ["auth-file", "plugins[0]"],
        ["rate-limit", "plugins[1]"],
        ["spam-score", "plugins[2]"],
        ["header-rewrite", "plugins[3]"],
        ["./plugins/block-domains.ts", "plugins[4]"],
      ],
    );
    const { options, ...limit } = settings.plugins[1]!;
    assert.deepEqual(limit, {
      use: "rate-limit",
      listeners: ["mx"],
      mode: "enforce",
      onError: "tempfail",
      budget: 5000,
      watch: false,
      worker: undefined,
      path: "plugins[1]",
    });
    assert.equal(
      JSON.stringify(options),
      '{"rules":[{"by":"address","count":"messages","limit":100,"window":"1h"}]}',
    );
    assert.deepEqual(settings.admin, {
      listen: { host: "127.0.0.1", port: 8025 },
      tokens: [{ name: "ops", role: "admin", hash: "..." }],
    });
  });

  test("the submission gateway", () => {
    const settings = settingsOf(example("submission_gateway.toml"));
    assert.equal(settings.upstreams[0]?.auth?.password, "from the file");
    assert.deepEqual(settings.upstreams[0]?.servers, [
      { kind: "smtp", host: "relay.example.net", port: 465, implicitTls: true },
    ]);
  });
});

describe("values", () => {
  const rest = example("mx.toml").replace(/^hostname.*\n/, "");

  test("references stand for any string", () => {
    const settings = settingsOf(
      `hostname = { file = "/run/secrets/name" }\n${
        rest.replace("[[routes]]", 'tls = { env = "TLS" }\n[[routes]]')
      }`,
    );
    assert.equal(settings.hostname, "mx.example.org");
    assert.equal(settings.upstreams[0]?.tls, "verify");
  });

  test("without hostname the machine's own name is taken", () => {
    assert.equal(settingsOf(rest, { hostname: "box.example.net" }).hostname, "box.example.net");
  });

  test("state: in memory, or a file in data_dir", () => {
    const stateOf = (line: string) => settingsOf(`${line}\nhostname = "a"\n${rest}`).state;
    const file = (path: string) => ({ kind: "sqlite", path });
    assert.deepEqual(stateOf('state = "memory"'), { kind: "memory" });
    assert.deepEqual(stateOf('state = "sqlite"'), file("/var/lib/postern/state.db"));
    assert.deepEqual(stateOf('state = "sqlite:limits/a.db"'), file("/var/lib/postern/limits/a.db"));
    assert.deepEqual(stateOf('state = "sqlite:/srv/state.db"'), file("/srv/state.db"));
    assert.deepEqual(stateOf('data_dir = "d"\nstate = "sqlite"'), file("/etc/postern/d/state.db"));
  });

  test("data_dir: the file's, systemd's, the user's, the system's", () => {
    const text = `hostname = "a"\n${rest}`;
    const dataDir = (env: Record<string, string>, more = "") =>
      settingsOf(more + text, { env: (name) => new Map(Object.entries(env)).get(name) }).dataDir;
    const all = { STATE_DIRECTORY: "/var/lib/x:/var/lib/y", XDG_STATE_HOME: "/home/u/state" };
    assert.equal(dataDir(all, 'data_dir = "data"\n'), "/etc/postern/data");
    assert.equal(dataDir(all), "/var/lib/x");
    assert.equal(dataDir({ XDG_STATE_HOME: "/home/u/state" }), "/home/u/state/postern");
    assert.equal(dataDir({}), "/var/lib/postern");
  });

  test("domains are lower case, fingerprints without colons, paths absolute", () => {
    const settings = settingsOf(`hostname = "a"
tls.client_ca = "../ca.pem"
[[listeners]]
listen = "unix:/run/postern.sock"
[upstreams.mailbox]
servers = ["a:25"]
tls = "verify"
ca = "ca.pem"
fingerprint = "${"AB:".repeat(31)}AB"
[[routes]]
to = ["EXAMPLE.org"]
upstream = "mailbox"
`);
    assert.deepEqual(settings.routes[0]?.to, ["example.org"]);
    assert.equal(settings.upstreams[0]?.fingerprint, "ab".repeat(32));
    assert.equal(settings.upstreams[0]?.ca, "/etc/postern/ca.pem");
    assert.equal(settings.tls.clientCa, "/etc/ca.pem");
    assert.deepEqual(settings.listeners[0]?.listen, { path: "/run/postern.sock" });
  });

  test("workers, and a pool that keeps nothing", () => {
    const text = `hostname = "a"\nworkers = "auto"\ntimeouts.upstream_idle = "0s"\n${rest}`;
    assert.equal(settingsOf(text).workers, "auto");
    assert.equal(settingsOf(text).timeouts.upstreamIdle, 0);
  });

  test("the options of plugins are passed on as they are, but for what is in the environment", () => {
    const optionsOf = (text: string) =>
      JSON.stringify(
        settingsOf(`hostname = "a"\n${rest}[[plugins]]\nuse = "x"\noptions = ${text}\n`, {
          env: (name) => name === "KEY" ? "sesame" : undefined,
        }).plugins[0]!.options,
      );
    const left = '{ a = { env = "KEY", b = 1 }, file = { file = "x" }, env = 1, constructor = 1 }';
    assert.equal(
      optionsOf(left),
      '{"a":{"env":"KEY","b":1},"file":{"file":"x"},"env":1,"constructor":1}',
    );
    assert.equal(
      optionsOf('{ a = { env = "KEY" }, b = [1, { c = { env = "KEY" } }], constructor = 1 }'),
      '{"a":"sesame","b":[1,{"c":"sesame"}],"constructor":1}',
    );
  });

  test("an embedder's options keep what is no table, and their circles", () => {
    const ring: Record<string, unknown> = { key: { env: "KEY" }, when: new Date(0) };
    ring["self"] = ring;
    const result = decodeConfig({
      hostname: "a",
      listeners: [{ listen: "127.0.0.1:2525" }],
      upstreams: { mailbox: { servers: ["a:25"] } },
      routes: [{ upstream: "mailbox" }],
      plugins: [{ use: "x", options: ring }],
    }, { ...OPTIONS, env: () => "sesame" });
    assert.ok(result.ok);
    const options = result.settings.plugins[0]!.options as typeof ring;
    assert.equal(options["key"], "sesame");
    assert.equal(options["self"], options);
    assert.equal(options["when"], ring["when"]);
  });

  test("R34: an upstream may be called like something every object has", () => {
    const text = `hostname = "a"\n${rest.replaceAll("mailbox", "toString")}`;
    assert.equal(settingsOf(text).upstreams[0]?.name, "toString");
  });
});

describe("a configuration that is a value", () => {
  const config = defineConfig({
    hostname: "mx.example.org",
    listeners: [{ listen: "0.0.0.0:25" }],
    upstreams: { mailbox: { servers: ["10.0.0.5:25"] } },
    routes: [{ to: ["example.org"], upstream: "mailbox" }],
  });

  test("means the same as the file", () => {
    const result = decodeConfig(config, OPTIONS);
    assert.ok(result.ok);
    assert.deepEqual(result.settings, SMALLEST);
  });

  test("is not changed, and keys that are undefined are not there", () => {
    const frozen = Object.freeze({ ...config, tls: undefined, log: undefined });
    const result = decodeConfig(frozen, OPTIONS);
    assert.ok(result.ok);
    assert.deepEqual(result.settings, SMALLEST);
  });

  test("has problems without lines", () => {
    const result = decodeConfig({ ...config, hostnam: "x" }, {
      ...OPTIONS,
      file: "postern.config.ts",
    });
    assert.ok(!result.ok);
    assert.deepEqual(result.problems.map(formatProblem), [
      'postern.config.ts: hostnam: unknown key "hostnam"; did you mean "hostname"?',
    ]);
  });

  test("may be anything at all", () => {
    const ring: Record<string, unknown> = {};
    ring.ring = ring;
    for (const value of [undefined, null, 5, "x", [], new Date(0), () => 1, Symbol("x"), 5n]) {
      assert.equal(decodeConfig(value, OPTIONS).ok, false);
    }
    assert.equal(decodeConfig({ plugins: [{ use: "x", options: ring }] }, OPTIONS).ok, false);
  });
});

/** Both sides as plain data, so that only keys, optionality and values are compared. */
type Plain<T> = T extends readonly (infer U)[] ? Plain<U>[]
  : T extends object ? { -readonly [K in keyof T]: Plain<T[K]> }
  : T;
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true
  : false;

test("the schema and ConfigInput agree (checked by the compiler)", () => {
  const agree: Same<Plain<v.InferInput<typeof configSchema>>, Plain<ConfigInput>> = true;
  assert.ok(agree);
});
