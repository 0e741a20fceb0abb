/**
 * auth-ldap: checks logins by a bind to a directory (RFC 4511, RFC 4513), whose name is made from the login or searched for.
 *
 * Never: takes an empty password to a directory, sends one in plain text unless told to, or lets a login be more than a
 * value in a name or a filter.
 * @module
 */
import type {
  ConnectAddress,
  ConnectTls,
  Manifest,
  OptionsSchema,
  PluginModule,
} from "@postern/postern/plugin";
import * as v from "valibot";
import { parseEndpoint } from "../shared/endpoint.ts";
import {
  cacheEntries,
  type Finding,
  guardEntries,
  type Login,
  passwordAuthenticator,
} from "../shared/login.ts";
import { expected, oneOf, table, text, whole } from "../shared/options.ts";
import { readSecret, secret } from "../shared/secret.ts";
import { Directory } from "./directory.ts";
import { filled, hasPlace, isFilter } from "./template.ts";

interface Server {
  readonly address: ConnectAddress;
  readonly implicit: boolean;
}

const wanted = expected(
  'a server such as "ldap://10.0.0.5", "ldaps://ldap.example.org:636" or "unix:/path"',
);
const place = "with {user}, {local} or {domain}";

const schema = v.pipe(
  table({
    server: v.pipe(
      v.string(wanted),
      v.check((text) => parseServer(text) !== undefined, wanted),
      v.transform((text) => parseServer(text)!),
    ),
    tls: v.optional(oneOf(["none", "require", "verify"]), "verify"),
    ca: v.optional(text("the path of a certificate file")),
    dn: v.optional(
      v.pipe(
        text(`a name ${place}`),
        v.check((text) => hasPlace(text) && text.includes("="), expected(`a name ${place}`)),
      ),
    ),
    base: v.optional(text("the name below which to search")),
    filter: v.optional(
      v.pipe(
        text(`a filter ${place}`),
        v.check((text) => hasPlace(text) && isFilter(text), expected(`a filter ${place}`)),
      ),
    ),
    name: v.optional(text("the name of an attribute")),
    bind: v.optional(
      table({
        dn: v.pipe(
          text("the name of an account"),
          v.includes("=", expected("the name of an account")),
        ),
        password: secret("a password"),
      }),
    ),
    connections: v.optional(whole(1), 4),
    ...guardEntries,
    ...cacheEntries,
  }),
  v.check(
    ({ dn, base, filter }) => (dn === undefined) !== (base === undefined && filter === undefined),
    "expected either `dn`, or `base` and `filter`",
  ),
  v.check(
    ({ base, filter }) => (base === undefined) === (filter === undefined),
    "expected `base` and `filter` together",
  ),
  v.check(
    ({ dn, bind, name }) => dn === undefined || bind === undefined && name === undefined,
    "expected `bind` and `name` with `filter` only",
  ),
  v.forward(
    v.check(
      ({ server, tls }) => !(server.implicit && tls === "none"),
      'expected "require" or "verify" for a server of ldaps://',
    ),
    ["tls"],
  ),
);

/** Options, as the plugin is given them: durations in milliseconds. */
export type Options = v.InferOutput<typeof schema>;

/** Options, as the operator writes them. */
export const options: OptionsSchema = schema;

/** What the plugin says of itself. */
export const manifest: Manifest = { version: "1.0.0", net: ["*"] };

const authLdap: PluginModule<Options> = async (edge, options) => {
  const { server, dn, base, filter, name, bind, connections } = options;
  const ca = options.ca === undefined ? undefined : await edge.readText(options.ca);
  const directory = new Directory(edge, { ...server, tls: tlsOf(options, ca) }, {
    account: bind && { dn: bind.dn, password: await readSecret(edge, bind.password) },
    connections,
  });

  async function ask({ user, password, context: { signal } }: Login): Promise<Finding> {
    // Directories compare without regard to case; two forms of one login must not be two logins here.
    const plain = user.toLowerCase();
    if (dn !== undefined) {
      const right = await directory.bind(filled(dn, user), password, signal);
      return right ? { user: plain } : "wrong";
    }
    const search = { base: base!, filter: filled(filter!, user), name };
    const entries = await directory.search(search, signal);
    if (entries.length > 1) edge.log.warn("More than one entry fits a login, which is refused");
    const entry = entries.length === 1 ? entries[0] : undefined;
    // An unknown login takes the way to the directory as often as a known one.
    const nobody = `cn=${crypto.randomUUID()},${base}`;
    const right = await directory.bind(entry?.dn ?? nobody, password, signal);
    return right && entry !== undefined ? { user: entry.name ?? plain } : "wrong";
  }

  return {
    name: "auth-ldap",
    onError: "tempfail",
    hooks: { auth: passwordAuthenticator(edge, options, ask) },
    close: () => directory.close(),
  };
};

/** A unix socket is on this machine: nobody else hears what it says. */
function tlsOf({ server, tls }: Options, ca: string | undefined): ConnectTls | undefined {
  if (tls === "none" || "path" in server.address) return undefined;
  return { verify: tls === "verify", ...(ca === undefined ? {} : { ca }) };
}

function parseServer(text: string): Server | undefined {
  if (text.startsWith("unix:")) {
    const address = parseEndpoint(text);
    return address === undefined ? undefined : { address, implicit: false };
  }
  const [, scheme, rest] = /^(ldaps?):\/\/(.+?)\/?$/.exec(text) ?? [];
  if (scheme === undefined || rest === undefined || rest.startsWith("unix:")) return undefined;
  const implicit = scheme === "ldaps";
  const address = parseEndpoint(rest, implicit ? 636 : 389);
  return address === undefined ? undefined : { address, implicit };
}

export default authLdap;
