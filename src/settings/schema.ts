/**
 * The configuration file's form: every key, its kind, its default, its meaning.
 *
 * Owns: names and defaults. Everything else that knows them (decoding, the JSON Schema, the reference page, suggestions) reads
 * them here.   Never: looks at more than one key at a time; `checks.ts` does.
 * @module
 */
import * as v from "valibot";
import * as f from "./fields.ts";
import { plugin } from "./schema_plugins.ts";

const listener = v.strictObject({
  name: v.optional(v.pipe(
    f.name,
    v.description(
      "Stands in logs, metrics and routes; without it `listener-1`, `listener-2` and so on",
    ),
  )),
  listen: v.pipe(
    f.listenAddress,
    v.description('`"host:port"`, `"[v6]:port"` or `"unix:/path"`; port 0: any free one'),
  ),
  tls: v.optional(
    v.pipe(
      f.choice(["none", "starttls", "implicit"]),
      v.description("No port is special: a listener on 465 needs `implicit`"),
    ),
    "starttls",
  ),
  require_tls: v.optional(
    v.pipe(f.flag, v.description("MAIL before TLS gets `530 5.7.0`")),
    false,
  ),
  auth: v.optional(
    v.pipe(
      f.choice(["off", "optional", "required"]),
      v.description("AUTH is offered, and taken, under TLS only"),
    ),
    "off",
  ),
  auth_plaintext_loopback: v.optional(
    v.pipe(f.flag, v.description("Offer AUTH without TLS to clients on this machine")),
    false,
  ),
  proxy_protocol: v.optional(
    v.pipe(
      v.array(f.network),
      v.description("Networks from which a PROXY v1 or v2 header is expected and trusted"),
    ),
    [],
  ),
  xclient: v.optional(
    v.pipe(
      v.array(f.network),
      v.description("Networks from which XCLIENT is taken; empty: not offered"),
    ),
    [],
  ),
  client_certificate: v.optional(
    v.pipe(
      f.choice(["none", "request", "require"]),
      v.description("Ask clients for a certificate"),
    ),
    "none",
  ),
});

const tls = v.strictObject({
  certificates: v.optional(
    v.pipe(
      v.array(v.strictObject({
        cert: v.pipe(f.path, v.description("PEM file: the certificate, then its chain")),
        key: v.pipe(f.path, v.description("PEM file: the private key")),
      })),
      v.description("Chosen by the names in them (SNI); none: self-signed, kept in `data_dir`"),
    ),
    [],
  ),
  min_version: v.optional(
    v.pipe(f.choice(["1.2", "1.3"]), v.description("Oldest TLS version, on both sides")),
    "1.2",
  ),
  client_ca: v.optional(
    v.pipe(f.path, v.description("PEM file of trust anchors for client certificates")),
  ),
});

const limits = v.strictObject({
  message_size: v.optional(
    v.pipe(f.size, v.description("Octets of a message; offered as SIZE")),
    "25MiB",
  ),
  recipients: v.optional(
    v.pipe(f.integer(1), v.description("Recipients of a transaction; more get `452 4.5.3`")),
    100,
  ),
  connections: v.optional(v.pipe(f.integer(1), v.description("Client connections at once")), 5000),
  connections_per_address: v.optional(
    v.pipe(f.integer(1), v.description("Client connections from one address at once")),
    50,
  ),
  errors: v.optional(
    v.pipe(f.integer(1), v.description("Error replies before the connection is closed")),
    10,
  ),
  transactions: v.optional(
    v.pipe(f.integer(1), v.description("Transactions of one session")),
    10_000,
  ),
  idle_commands: v.optional(
    v.pipe(
      f.integer(1),
      v.description("Commands in a row that do not bring a transaction on (NOOP, RSET, EHLO ...)"),
    ),
    20,
  ),
  header_size: v.optional(
    v.pipe(f.size, v.description("Octets of the header block; a larger one gets `552`")),
    "256KiB",
  ),
  held_memory: v.optional(
    v.pipe(
      f.size,
      v.description(
        "Octets of a message held back for a plugin that stay in memory; a larger one goes to a file in `data_dir`",
      ),
    ),
    "256KiB",
  ),
  hops: v.optional(
    v.pipe(
      f.integer(1, 1000),
      v.description("`Received` fields at which a message is refused as a loop"),
    ),
    100,
  ),
  command_line: v.optional(
    v.pipe(
      f.integer(512, 65536),
      v.description("Octets of a command line, with CRLF; AUTH and parameters extend it"),
    ),
    512,
  ),
  text_line: v.optional(
    v.pipe(
      f.integer(1000, 1_048_576),
      v.description("Octets of a line of content, with CRLF; see `long_lines`"),
    ),
    1000,
  ),
  long_lines: v.optional(
    v.pipe(
      f.choice(["pass", "reject"]),
      v.description("Content lines over `text_line` are passed whole or refused, never cut"),
    ),
    "pass",
  ),
  bare_newline: v.optional(
    v.pipe(
      f.choice(["normalize", "reject"]),
      v.description("A bare CR or LF in content is repaired, or the message gets `554 5.6.0`"),
    ),
    "normalize",
  ),
  auth_failures: v.optional(
    v.pipe(f.integer(1, 100), v.description("Failed logins before the connection is closed")),
    3,
  ),
});

const timeouts = v.strictObject({
  command: v.optional(v.pipe(f.duration, v.description("Client: the next command")), "5m"),
  data: v.optional(v.pipe(f.duration, v.description("Client: the next octets of a body")), "5m"),
  session: v.optional(v.pipe(f.duration, v.description("Client: the whole session")), "1h"),
  tls_handshake: v.optional(v.pipe(f.duration, v.description("Client: the TLS handshake")), "30s"),
  proxy_header: v.optional(v.pipe(f.duration, v.description("Client: the PROXY header")), "10s"),
  upstream_connect: v.optional(
    v.pipe(f.duration, v.description("Upstream: a connection")),
    "30s",
  ),
  upstream_command: v.optional(
    v.pipe(f.duration, v.description("Upstream: the reply to a command")),
    "5m",
  ),
  upstream_data: v.optional(
    v.pipe(f.duration, v.description("Upstream: taking the next octets of a body")),
    "3m",
  ),
  upstream_data_end: v.optional(
    v.pipe(f.duration, v.description("Upstream: the reply to the final dot")),
    "10m",
  ),
  upstream_idle: v.optional(
    v.pipe(f.durationOrNone, v.description("An unused upstream connection is kept this long")),
    "30s",
  ),
  drain: v.optional(
    v.pipe(f.duration, v.description("Transactions in flight may finish when the server stops")),
    "30s",
  ),
});

const upstream = v.strictObject({
  servers: v.pipe(
    f.some(f.server),
    v.description(
      '`"host:port"`, `"[v6]:port"`, `"smtps://host:port"`, `"unix:/path"`, or one `"maildir:./folder"`',
    ),
  ),
  balance: v.optional(
    v.pipe(
      f.choice(["round-robin", "priority"]),
      v.description("In turn, or in order with the next as a fallback"),
    ),
    "round-robin",
  ),
  tls: v.optional(
    v.pipe(
      f.choice(["none", "opportunistic", "require", "verify"]),
      v.description("STARTTLS: never, if offered, always, always with a valid certificate"),
    ),
    "opportunistic",
  ),
  ca: v.optional(
    v.pipe(
      f.path,
      v.description("PEM file of trust anchors for `verify`; without it the system's"),
    ),
  ),
  fingerprint: v.optional(
    v.pipe(f.sha256, v.description("SHA-256 of the one certificate that is accepted")),
  ),
  identity: v.optional(
    v.pipe(
      f.choice(["none", "xclient", "xforward", "proxy-v1", "proxy-v2"]),
      v.description("How the upstream is told who the client is"),
    ),
    "none",
  ),
  auth: v.optional(v.pipe(
    v.strictObject({
      user: v.pipe(f.text, v.description("Login name at the upstream")),
      password: v.pipe(f.secret, v.description("Its password")),
    }),
    v.metadata({ secret: true }),
    v.description("Log in to the upstream"),
  )),
  connections: v.optional(
    v.pipe(
      f.integer(1),
      v.description(
        "Connections at once, all servers together; every client in mid-message holds one",
      ),
    ),
    500,
  ),
  max_uses: v.optional(
    v.pipe(f.integer(1), v.description("Transactions on one connection")),
    100,
  ),
  mode: v.optional(
    v.pipe(
      f.choice(["inline", "spool", "inline-then-spool"]),
      v.description("`inline`: the answer is the upstream's. The others come with a later version"),
    ),
    "inline",
  ),
  reply_text: v.optional(
    v.pipe(f.flag, v.description("Pass on the text of the upstream's replies, not only the codes")),
    false,
  ),
});

const route = v.strictObject({
  to: v.optional(v.pipe(
    f.some(f.domainPattern),
    v.description("Recipient domains, `*.` for any subdomain; without it every recipient"),
  )),
  authenticated: v.optional(v.pipe(
    f.flag,
    v.description("Only sessions that have authenticated; `false`: only those that have not"),
  )),
  listeners: v.optional(v.pipe(
    f.some(f.name),
    v.description("Only sessions of these listeners"),
  )),
  upstream: v.pipe(f.name, v.description("Name of a table under `[upstreams]`")),
});

const admin = v.strictObject({
  listen: v.optional(
    v.pipe(f.listenAddress, v.description('`"host:port"` of the admin API')),
    "127.0.0.1:8025",
  ),
  tokens: v.optional(
    v.pipe(
      v.array(v.pipe(
        v.strictObject({
          name: v.pipe(f.name, v.description("Stands in the log of what was done with it")),
          role: v.pipe(f.choice(["admin", "viewer"]), v.description("A viewer changes nothing")),
          hash: v.pipe(f.secret, v.description("Hash of the token")),
        }),
        v.metadata({ secret: true }),
      )),
      v.metadata({ secret: true }),
      v.description("Who may use it"),
    ),
    [],
  ),
});

const dns = v.strictObject({
  servers: v.optional(v.pipe(
    f.some(f.nameServer),
    v.description(
      'Resolvers, asked in this order: `"address:port"` or `"[v6]:port"`; without it those of `/etc/resolv.conf`, followed when it changes',
    ),
  )),
  timeout: v.optional(
    v.pipe(f.duration, v.description("One server: the answer to one try")),
    "1500ms",
  ),
  tries: v.optional(v.pipe(f.integer(1, 10), v.description("Tries with each server")), 2),
  budget: v.optional(
    v.pipe(f.duration, v.description("A question: all servers, tries and aliases together")),
    "4s",
  ),
  cache: v.optional(
    v.pipe(f.integer(0, 1_000_000), v.description("Answers that are kept as long as they say")),
    10_000,
  ),
});

const log = v.strictObject({
  level: v.optional(
    v.pipe(
      f.choice(["debug", "info", "warn", "error"]),
      v.description("Events below it are not written"),
    ),
    "info",
  ),
  format: v.optional(
    v.pipe(f.choice(["human", "json"]), v.description("One line an event, either way")),
    "human",
  ),
});

const trace = v.strictObject({
  history: v.optional(
    v.pipe(
      f.choice(["all", "notable", "none"]),
      v.description(
        "What is kept under `data_dir` for `postern explain`, with addresses and without content: everything; all but deliveries to which no policy objected, or would have; nothing",
      ),
    ),
    "notable",
  ),
  size: v.optional(
    v.pipe(f.size, v.description("Room on the disk; the oldest goes first")),
    "16MiB",
  ),
});

/** The whole file. */
export const configSchema = v.strictObject({
  hostname: v.optional(v.pipe(
    f.hostname,
    v.description("Our name in banners, EHLO and `Received`; without it the machine's own"),
  )),
  data_dir: v.optional(v.pipe(
    f.path,
    v.description(
      "Folder for state and the generated certificate; without it `$STATE_DIRECTORY`, `$XDG_STATE_HOME/postern` or `/var/lib/postern`",
    ),
  )),
  state: v.optional(
    v.pipe(
      f.stateStore,
      v.description(
        "Where limits, counters and locks of the plugins are kept; `sqlite` survives a restart: `state.db` in `data_dir`, or PATH, relative to it",
      ),
    ),
    "memory",
  ),
  user: v.optional(v.pipe(
    f.text,
    v.description(
      "Started as root: become this user once the ports are open and the keys are read",
    ),
  )),
  group: v.optional(v.pipe(
    f.text,
    v.description("The group to go with it; without it the one of the user's name"),
  )),
  workers: v.optional(v.pipe(f.workers, v.description("Processes that share the listeners")), 1),
  received: v.optional(
    v.pipe(f.flag, v.description("Write a `Received` field into every message")),
    true,
  ),
  listeners: v.optional(
    v.pipe(v.array(listener), v.description("Where clients connect; at least one")),
    [],
  ),
  tls: v.optional(
    v.pipe(tls, v.description("Certificates and versions, for all listeners")),
    {},
  ),
  limits: v.optional(v.pipe(limits, v.description("What a client may use up")), {}),
  timeouts: v.optional(v.pipe(timeouts, v.description("How long is waited for what")), {}),
  upstreams: v.optional(
    v.pipe(
      v.record(v.pipe(v.string(), v.regex(f.NAME_PATTERN)), upstream),
      v.description("Where mail goes; each has a name"),
    ),
    {},
  ),
  routes: v.optional(
    v.pipe(
      v.array(route),
      v.description("Which recipients go where; the first match wins, and no match is `550 5.7.1`"),
    ),
    [],
  ),
  quarantine: v.optional(v.pipe(
    f.name,
    v.description(
      "Name of the upstream that a plugin's quarantine goes to where the plugin names none",
    ),
  )),
  plugins: v.optional(v.pipe(v.array(plugin), v.description("Policies, asked in this order")), []),
  admin: v.optional(v.pipe(admin, v.description("The admin API; without this table it is off"))),
  dns: v.optional(v.pipe(dns, v.description("Who is asked for names, by plugins")), {}),
  log: v.optional(v.pipe(log, v.description("The log, on standard error")), {}),
  trace: v.optional(
    v.pipe(trace, v.description("The history of decisions, for `postern explain`")),
    {},
  ),
});

/** What a valid file holds, defaults filled in, nothing converted yet. */
export type ConfigOutput = v.InferOutput<typeof configSchema>;
