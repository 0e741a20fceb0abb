/**
 * Every command as data: what the parser accepts, what the help says. The code of a command is loaded only when it
 * runs (`commands.ts`), so `postern help` costs nothing.
 * @module
 */
import type { CommandSpec, FlagSpec, WordSpec } from "./args.ts";

const config = {
  kind: "string",
  short: "c",
  value: "FILE",
  description:
    "Configuration file (else postern.toml here, in $XDG_CONFIG_HOME/postern or in /etc/postern)",
} as const satisfies FlagSpec;

const usersFile = {
  kind: "string",
  short: "f",
  value: "FILE",
  default: "users.txt",
  description: "The file that the auth-file policy reads",
} as const satisfies FlagSpec;

export const serveSpec = {
  name: "serve",
  summary: "Run the proxy",
  flags: { config },
  words: {},
  details: [
    'Prints one line, "postern ready" and the listeners\' addresses, when it takes connections. SIGTERM and SIGINT drain and stop. SIGHUP reads the configuration again and takes over its [[plugins]] and their files, for new sessions; other changes need a restart.',
  ],
  examples: ["postern serve -c postern.toml"],
} as const satisfies CommandSpec;

export const checkSpec = {
  name: "check",
  summary: "Check the configuration, the certificates and the upstreams",
  flags: {
    config,
    offline: { kind: "boolean", description: "Do not connect to the upstreams" },
  },
  words: {},
  details: [
    "Tells everything that is wrong at once. Opens no port and sends no message. Ends with 0 when all is well, with 1 when something is expired or cannot be reached, with 2 when the configuration has to be changed.",
  ],
  examples: ["postern check -c postern.toml", "postern check --offline"],
} as const satisfies CommandSpec;

export const initSpec = {
  name: "init",
  summary: "Write a commented configuration to start from",
  flags: {
    hostname: {
      kind: "string",
      value: "NAME",
      default: "mx.example.org",
      description: "The name this server greets with",
    },
    domain: {
      kind: "list",
      value: "DOMAIN",
      description: "A domain to take mail for; may be repeated (default example.org)",
    },
    upstream: {
      kind: "list",
      value: "SERVER",
      description:
        "A server behind: HOST:PORT, smtps://HOST:PORT, unix:PATH or maildir:PATH; may be repeated (default maildir:./mail)",
    },
    force: { kind: "boolean", description: "Replace a file that is there" },
  },
  words: {
    path: { value: "PATH", description: "File or folder to write to", required: false },
  },
  examples: ["postern init --hostname mx.example.org --domain example.org --upstream 10.0.0.5:25"],
} as const satisfies CommandSpec;

export const demoSpec = {
  name: "demo",
  summary: "Try it: a proxy, a mailbox and three messages, with nothing to configure",
  flags: {
    once: { kind: "boolean", description: "Stop after the messages" },
    dir: {
      kind: "string",
      value: "DIR",
      description: "Keep everything here (else in a temporary folder)",
    },
  },
  words: {},
  details: [
    "Starts a proxy on this machine with a certificate of its own, a built-in mailbox, a user and the bundled policies; sends ham, spam and a message after a login through it; shows what became of each; then takes yours, until Ctrl-C. Nothing leaves this machine.",
  ],
  examples: ["postern demo", "postern demo --once --dir ./demo"],
} as const satisfies CommandSpec;

export const sendSpec = {
  name: "send",
  summary: "Send a message by SMTP, with TLS and AUTH, to try things",
  flags: {
    server: {
      kind: "string",
      short: "s",
      value: "HOST:PORT",
      default: "127.0.0.1:25",
      description: "Where to; also smtps://HOST and unix:PATH",
    },
    from: {
      kind: "string",
      short: "f",
      value: "ADDRESS",
      description: 'Reverse-path; "<>" for none (else the login, or postmaster of this machine)',
    },
    to: {
      kind: "list",
      short: "t",
      value: "ADDRESS",
      description: "Recipient; may be repeated",
    },
    subject: { kind: "string", value: "TEXT", description: "Subject of a message made up here" },
    body: { kind: "string", value: "TEXT", description: "Text of a message made up here" },
    tls: {
      kind: "string",
      value: "MODE",
      description: "One of none, opportunistic (the default), starttls (with --user), implicit",
    },
    insecure: { kind: "boolean", short: "k", description: "Take any certificate" },
    ca: { kind: "string", value: "FILE", description: "Trust these certificates too (PEM)" },
    user: { kind: "string", short: "u", value: "NAME", description: "Log in as" },
    "password-stdin": {
      kind: "boolean",
      description: "The password is the first line of standard input",
    },
    helo: { kind: "string", value: "NAME", description: "Name to say EHLO with" },
    timeout: {
      kind: "string",
      value: "TIME",
      default: "30s",
      description: "For the connection and for each reply",
    },
    verbose: { kind: "boolean", short: "v", description: "Show the conversation, without secrets" },
  },
  words: {
    file: {
      value: "FILE",
      description: "The message; - for standard input; none: one is made up",
      required: false,
    },
  },
  details: [
    "Says what became of each recipient and of the message, in the server's own words. Ends with 0 when everybody was accepted, with 1 when anybody was not.",
  ],
  examples: [
    "postern send --server 127.0.0.1:2525 --to alice@example.org --subject Hello",
    "postern send --server mx.example.org --tls implicit --user alice --to bob@example.org mail.eml",
  ],
} as const satisfies CommandSpec;

export const explainSpec = {
  name: "explain",
  summary: "Tell what became of a message or a session, and why",
  flags: {
    config,
    "data-dir": {
      kind: "string",
      value: "DIR",
      description: "Read the history in this data_dir, and no configuration",
    },
    json: { kind: "boolean", description: "One JSON object a line" },
  },
  words: {
    id: {
      value: "ID",
      description:
        "Of a transaction or a session, as the log and the Received field have it; its beginning is enough where it is the only one",
      required: true,
    },
  },
  details: [
    "Reads the history that the proxy keeps in its data_dir, and does not ask the proxy itself. Shows the client, the envelope, what every policy said and how long it took, what those in shadow mode would have done, what the upstream said, what the client was told, and what would have let it pass.",
  ],
  examples: ["postern explain toyy9u-1.1", "postern explain toyy9u-1 --json | jq .reply"],
} as const satisfies CommandSpec;

export const userAddSpec = {
  name: "user add",
  summary: "Add a submission user, or change a password",
  flags: {
    file: usersFile,
    "password-stdin": {
      kind: "boolean",
      description: "The password is the first line of standard input",
    },
    scram: {
      kind: "boolean",
      description: "Write a secret for SCRAM-SHA-256 in the place of the hash",
    },
  },
  words: { name: { value: "NAME", description: "Login name", required: true } },
  details: [
    "Asks for the password twice. What is written is an argon2id hash; the file is replaced in one step and is readable by its owner only.",
    "With --scram it is a secret for SCRAM-SHA-256, by which logins work without the password being sent, and PLAIN and LOGIN work, too. Whoever steals the file guesses faster against it than against argon2id. auth-file offers SCRAM-SHA-256 when every login of the file has one.",
  ],
  examples: ["postern user add alice --file users.txt"],
} as const satisfies CommandSpec;

export const userRemoveSpec = {
  name: "user remove",
  summary: "Remove a submission user",
  flags: { file: usersFile },
  words: { name: { value: "NAME", description: "Login name", required: true } },
} as const satisfies CommandSpec;

export const userListSpec = {
  name: "user list",
  summary: "List the submission users",
  flags: { file: usersFile },
  words: {},
} as const satisfies CommandSpec;

export const pluginNewSpec = {
  name: "plugin new",
  summary: "Write a plugin with its README, a dialogue and tests that pass",
  flags: {},
  words: {
    name: {
      value: "NAME",
      description: "The folder to make; its name is the plugin's",
      required: true,
    },
  },
  details: [
    "What it writes imports types only, so it runs beside a compiled binary, and nothing has to be installed for it.",
  ],
  examples: ["postern plugin new block-domains"],
} as const satisfies CommandSpec;

export const pluginTestSpec = {
  name: "plugin test",
  summary: "Run a plugin's dialogues and test functions",
  flags: {
    update: {
      kind: "boolean",
      short: "u",
      description: "Write what is answered into the dialogues (as does UPDATE_GOLDEN=1)",
    },
  },
  words: {
    path: {
      value: "PATH",
      description: "The plugin's folder or file (else this folder)",
      required: false,
    },
  },
  details: [
    "Runs the files *.dialogue and tests.ts of the folder with the plugin in a whole server in memory; for a file NAME.ts those that are NAME.dialogue, NAME_*.dialogue and NAME.tests.ts. Ends with 1 when a test fails.",
  ],
  examples: ["postern plugin test block-domains"],
} as const satisfies CommandSpec;

export const pluginCheckSpec = {
  name: "plugin check",
  summary: "Load and start a plugin, and tell what it does and costs",
  flags: {
    options: {
      kind: "string",
      value: "JSON",
      description: "Its options, as the configuration would hold them",
    },
  },
  words: { path: { value: "PATH", description: "The plugin's folder or file", required: true } },
  details: [
    "Ends with 2 when the plugin would stop the proxy from starting: a mistyped hook, wrong options, a wrong manifest.",
  ],
  examples: [
    'postern plugin check block-domains --options \'{"domains":["spam.test"]}\'',
  ],
} as const satisfies CommandSpec;

const modelFile = {
  kind: "string",
  short: "m",
  value: "FILE",
  default: "spam.bayes",
  description: "The model that the spam-score policy reads",
} as const satisfies FlagSpec;

const learnPath = {
  value: "PATH",
  description:
    "A message, an mbox, a Maildir or a folder of these; - for standard input; several are taken",
  required: true,
  many: true,
} as const satisfies WordSpec;

export const learnHamSpec = {
  name: "learn ham",
  summary: "Teach the spam classifier what good mail looks like",
  flags: { model: modelFile },
  words: { path: learnPath },
  details: [
    "A message that was learned before is not counted twice; one that was learned as spam changes over. The model is replaced in one step, is readable by its owner only, and servers that run follow it.",
  ],
  examples: ["postern learn ham ~/Maildir", "postern learn ham archive.mbox --model spam.bayes"],
} as const satisfies CommandSpec;

export const learnSpamSpec = {
  name: "learn spam",
  summary: "Teach the spam classifier what spam looks like",
  flags: { model: modelFile },
  words: { path: learnPath },
  details: [
    "A message that was learned before is not counted twice; one that was learned as ham changes over. The model is replaced in one step, is readable by its owner only, and servers that run follow it.",
  ],
  examples: ["postern learn spam ~/Maildir/.Junk", "postern learn spam - < message.eml"],
} as const satisfies CommandSpec;

export const learnForgetSpec = {
  name: "learn forget",
  summary: "Take back what was learned from messages",
  flags: { model: modelFile },
  words: { path: learnPath },
  examples: ["postern learn forget message.eml"],
} as const satisfies CommandSpec;

export const learnMergeSpec = {
  name: "learn merge",
  summary: "Add what another model has learned",
  flags: { model: modelFile },
  words: {
    other: {
      value: "MODEL",
      description: "A model of another server; several are taken",
      required: true,
      many: true,
    },
  },
  details: ["Refused where a message was learned into both models: it would count twice."],
  examples: ["postern learn merge other.bayes"],
} as const satisfies CommandSpec;

export const schemaSpec = {
  name: "schema",
  summary: "Print the JSON Schema of the configuration, for editors",
  flags: {},
  words: {},
  examples: ["postern schema > postern.schema.json"],
} as const satisfies CommandSpec;

export const versionSpec = {
  name: "version",
  summary: "Show the version and the runtime",
  flags: {},
  words: {},
} as const satisfies CommandSpec;

export const helpSpec = {
  name: "help",
  summary: "Show help, also for one command",
  flags: {},
  words: {
    command: { value: "COMMAND", description: "A command", required: false },
    subcommand: { value: "SUBCOMMAND", description: "A command of a group", required: false },
  },
} as const satisfies CommandSpec;

/** In the order of the help. */
export const SPECS: readonly CommandSpec[] = [
  serveSpec,
  checkSpec,
  initSpec,
  demoSpec,
  sendSpec,
  explainSpec,
  userAddSpec,
  userRemoveSpec,
  userListSpec,
  pluginNewSpec,
  pluginTestSpec,
  pluginCheckSpec,
  learnHamSpec,
  learnSpamSpec,
  learnForgetSpec,
  learnMergeSpec,
  schemaSpec,
  versionSpec,
  helpSpec,
];
