/**
 * The configuration that `postern init` writes.
 * @module
 */

/** What the file is made for. */
export interface InitialConfig {
  readonly hostname: string;
  readonly domains: readonly string[];
  readonly servers: readonly string[];
}

/** TOML text. */
export function initialConfig({ hostname, domains, servers }: InitialConfig): string {
  return `# Postern's configuration. Every key that is left out has a safe default.
# "postern check" says what is wrong with it; "postern schema" prints its JSON Schema for editors.

hostname = ${text(hostname)}            # the name this server greets with
# data_dir = "/var/lib/postern"         # state and the generated certificate

# Mail from other servers.
[[listeners]]
name = "mx"
listen = "0.0.0.0:25"                   # host:port, [v6]:port or unix:/path; without root take 2525
tls = "starttls"                        # "none", "starttls" or "implicit"

# Mail from your own people. Make a user first: postern user add NAME --file users.txt
# [[listeners]]
# name = "submission"
# listen = "0.0.0.0:587"
# tls = "starttls"
# require_tls = true
# auth = "required"
#
# [[plugins]]
# use = "auth-file"
# options = { users = "users.txt" }

# Without certificates one is made and kept in data_dir; other servers take it, mail programs will ask.
# [tls]
# certificates = [{ cert = "mx.pem", key = "mx.key" }]

# What is refused, and what a client may take up.
# [limits]
# message_size = "25MiB"
# recipients = 100
# connections_per_address = 50

# The servers behind: host:port, smtps://host:port, unix:/path, or maildir:./folder for a mailbox built in.
[upstreams.mailbox]
servers = ${list(servers)}
# tls = "opportunistic"                 # "none", "opportunistic", "require" or "verify"
# identity = "none"                     # how the client is told: "xclient", "xforward", "proxy-v1", "proxy-v2"
# auth = { user = "relay", password = { env = "RELAY_PASSWORD" } }

# Which recipients go where; the first match wins, and what matches nothing is refused: this is no open relay.
[[routes]]
to = ${list(domains)}
upstream = "mailbox"

# What people who have logged in may send anywhere:
# [[routes]]
# authenticated = true
# upstream = "mailbox"

# Policies, in the order they are asked.
# [[plugins]]
# use = "rate-limit"
# options = { rules = [{ by = "address", count = "messages", limit = 100, window = "1h" }] }
#
# [[plugins]]
# use = "spam-score"
# options = { tag_at = 5.0, refuse_at = 15.0 }

# [log]
# level = "info"                        # "debug", "info", "warn" or "error"
# format = "human"                      # or "json"
`;
}

function list(values: readonly string[]): string {
  return `[${values.map(text).join(", ")}]`;
}

/** A basic string. The escapes of JSON are escapes of TOML, and DEL alone has to be added to them. */
function text(value: string): string {
  return JSON.stringify(value).replaceAll("\x7f", "\\u007f");
}
