/**
 * Kinds of values that keys of the configuration have.
 *
 * Owns: one valibot schema for each kind, with what a message and the reference page say of it.
 * Never: transforms a value, so that the same schemas give the JSON Schema; `decode.ts` transforms.
 * @module
 */
import * as v from "valibot";
import { fingerprint, isDomainPattern, isHostname, isNetwork, parseNameServer } from "./address.ts";
import { parseStateStore } from "./state_store.ts";
import {
  duration as milliseconds,
  DURATION_PATTERN,
  size as octets,
  SIZE_PATTERN,
} from "./units.ts";

/** What is known of a kind of value beyond its schema. */
export type FieldMeta = {
  /** Completes "expected ...". */
  readonly expects: string;
  /** For the reference page. */
  readonly type: string;
  /** All of them, for a suggestion. */
  readonly choices?: readonly string[];
  /** Values at and below this key never stand in a message (R18). */
  readonly secret?: true;
};

/** Names of listeners, upstreams and tokens: they stand in logs, metrics and on command lines. */
export const NAME_PATTERN = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

/** What {@linkcode NAME_PATTERN} asks for, in words. */
export const NAME_EXPECTS = 'a name of letters, digits, ".", "_" and "-"';

/** In place of a string: the value of an environment variable, or the content of a file. */
export const reference = v.union([
  v.pipe(
    v.strictObject({ env: v.string() }),
    v.description("The value of an environment variable"),
  ),
  v.pipe(v.strictObject({ file: v.string() }), v.description("The content of a file")),
]);

/** Any text that is not empty. */
export const text = v.pipe(
  v.union([v.pipe(v.string(), v.nonEmpty()), reference]),
  v.metadata({ expects: "a string that is not empty", type: "string" }),
);

/** A path, relative to the folder of the configuration file. */
export const path = v.pipe(
  v.union([v.pipe(v.string(), v.nonEmpty(), v.excludes("\0")), reference]),
  v.metadata({ expects: "a path", type: "path" }),
);

/** A text that never stands in a message. */
export const secret = v.pipe(
  v.union([v.pipe(v.string(), v.nonEmpty()), reference]),
  v.metadata({
    expects: 'a string that is not empty, { env = "NAME" } or { file = "path" }',
    type: "secret",
    secret: true,
  }),
);

/** A name of the configuration's own. */
export const name = matching(
  { expects: NAME_EXPECTS, type: "name" },
  (value) => NAME_PATTERN.test(value),
);

/** Where to listen; `checks.ts` looks closer. */
export const listenAddress = v.pipe(
  v.union([v.string(), reference]),
  v.metadata({ expects: '"host:port"', type: "address" }),
);

/** A server of an upstream; `checks.ts` looks closer. */
export const server = v.pipe(
  v.union([v.string(), reference]),
  v.metadata({ expects: '"host:port"', type: "server" }),
);

/** A resolver. */
export const nameServer = matching(
  {
    expects: 'the address and port of a resolver such as "127.0.0.1:53" or "[::1]:53"',
    type: "address",
  },
  (value) => parseNameServer(value) !== undefined,
);

/** Where the shared state lives. */
export const stateStore = matching(
  {
    expects: '"memory", "sqlite" or "sqlite:PATH"',
    type: '`"memory"`, `"sqlite"`, `"sqlite:PATH"`',
  },
  (value) => parseStateStore(value, "/") !== undefined,
);

/** A host name. */
export const hostname = matching(
  { expects: 'a host name such as "mx.example.org"', type: "host name" },
  isHostname,
);

/** A network or an address. */
export const network = matching(
  { expects: 'an address or a network such as "10.0.0.0/8"', type: "network" },
  isNetwork,
);

/** A recipient domain. */
export const domainPattern = matching(
  { expects: 'a domain such as "example.org" or "*.example.org"', type: "domain" },
  isDomainPattern,
);

/** A SHA-256 fingerprint. */
export const sha256 = matching(
  { expects: "the 64 hex digits of a SHA-256 fingerprint", type: "fingerprint" },
  (value) => fingerprint(value) !== undefined,
);

/** A duration longer than nothing. */
export const duration = durationFrom(1);

/** A duration that may be `"0s"`. */
export const durationOrNone = durationFrom(0);

/** A size of at least one octet. */
export const size = v.pipe(
  v.union([
    v.pipe(v.string(), v.regex(SIZE_PATTERN), v.check((value) => (octets(value) ?? 0) >= 1)),
    v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(Number.MAX_SAFE_INTEGER)),
    reference,
  ]),
  v.metadata({ expects: 'a size such as "25MiB" or a number of octets', type: "size" }),
);

/** Yes or no. */
export const flag = v.pipe(v.boolean(), v.metadata({ expects: "true or false", type: "boolean" }));

/** Processes. */
export const workers = v.pipe(
  v.union([v.literal("auto"), v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(1024))]),
  v.metadata({ expects: '"auto" or an integer from 1 to 1024', type: 'integer or `"auto"`' }),
);

/** A whole number in a range. */
export function integer(least: number, most = 1_000_000_000) {
  const open = most === 1_000_000_000;
  const range = open ? `of at least ${least}` : `from ${least} to ${most}`;
  return v.pipe(
    v.number(),
    v.integer(),
    v.minValue(least),
    v.maxValue(most),
    v.metadata({ expects: `an integer ${range}`, type: open ? "integer" : `integer ${range}` }),
  );
}

/** A list that says something: an empty one would be a mistake. */
export function some<T extends v.GenericSchema>(item: T) {
  return v.pipe(v.array(item), v.nonEmpty(), v.metadata({ expects: "a list that is not empty" }));
}

/** One of some words. */
export function choice<const T extends readonly [string, ...string[]]>(options: T) {
  const words = options.map((option) => `"${option}"`);
  return v.pipe(
    v.union([v.picklist(options), reference]),
    v.metadata({
      expects: words.join(" | "),
      type: words.map((word) => `\`${word}\``).join(", "),
      choices: options,
    }),
  );
}

/** A text that a test accepts. */
function matching(about: FieldMeta, test: (value: string) => boolean) {
  return v.pipe(v.union([v.pipe(v.string(), v.check(test)), reference]), v.metadata(about));
}

function durationFrom(least: number) {
  return v.pipe(
    v.union([
      v.pipe(
        v.string(),
        v.regex(DURATION_PATTERN),
        v.check((value) => (milliseconds(value) ?? -1) >= least),
      ),
      reference,
    ]),
    v.metadata({
      expects: `a duration such as "30s", "5m" or "1h"${least > 0 ? "" : ', or "0s"'}`,
      type: "duration",
    }),
  );
}
