/**
 * auth-upstream: tries a login at another SMTP server, by AUTH there (RFC 4954).
 *
 * Owns: how many connections that takes at once. Never: keeps one: a connection that has logged in is somebody's.
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
import { permits } from "../shared/permits.ts";
import { logIn } from "./smtp.ts";

interface Server {
  readonly address: ConnectAddress;
  readonly implicit: boolean;
}

const wanted = expected(
  'a server such as "10.0.0.5:587", "smtps://mail.example.org" or "unix:/path"',
);

const schema = v.pipe(
  table({
    server: v.pipe(
      v.string(wanted),
      v.check((text) => parseServer(text) !== undefined, wanted),
      v.transform((text) => parseServer(text)!),
    ),
    tls: v.optional(oneOf(["none", "require", "verify"]), "verify"),
    ca: v.optional(text("the path of a certificate file")),
    hello: v.optional(text("a host name")),
    connections: v.optional(whole(1), 10),
    ...guardEntries,
    ...cacheEntries,
  }),
  v.forward(
    v.check(
      ({ server, tls }) => !(server.implicit && tls === "none"),
      'expected "require" or "verify" for a server of smtps://',
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

const authUpstream: PluginModule<Options> = async (edge, options) => {
  const { server, tls: mode } = options;
  const ca = options.ca === undefined ? undefined : await edge.readText(options.ca);
  const tls: ConnectTls | undefined = mode === "none"
    ? undefined
    : { verify: mode === "verify", ...(ca === undefined ? {} : { ca }) };
  const inTurn = permits(options.connections);

  async function ask({ user, password, context }: Login): Promise<Finding> {
    const { session, signal } = context;
    const right = await inTurn(signal, async () => {
      const connection = await edge.connect(server.address, {
        signal,
        tls: server.implicit ? tls ?? true : false,
      });
      try {
        const startTls = server.implicit ? undefined : tls;
        const hello = options.hello ?? session.hostname;
        const right = await logIn({ connection, hello, startTls }, user, password);
        // It has said what we wanted: whether it hears us out is its own affair.
        connection.write("QUIT\r\n").catch(() => {});
        return right;
      } finally {
        connection.close();
      }
    });
    return right ? { user } : "wrong";
  }

  return {
    name: "auth-upstream",
    onError: "tempfail",
    hooks: { auth: passwordAuthenticator(edge, options, ask) },
  };
};

function parseServer(text: string): Server | undefined {
  const implicit = text.startsWith("smtps://");
  const address = parseEndpoint(
    implicit ? text.slice("smtps://".length) : text,
    implicit ? 465 : 587,
  );
  return address === undefined ? undefined : { address, implicit };
}

export default authUpstream;
