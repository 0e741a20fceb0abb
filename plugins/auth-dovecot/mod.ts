/**
 * auth-dovecot: asks Dovecot's auth service whether a login is right, as Postfix and Exim do.
 *
 * Owns: one connection that all logins share. Never: sends a password anywhere else, or takes a temporary failure for a
 * wrong password.
 * @module
 */
import type { Manifest, OptionsSchema, PluginModule } from "@postern/postern/plugin";
import * as v from "valibot";
import { endpoint } from "../shared/endpoint.ts";
import {
  base64,
  cacheEntries,
  type Finding,
  guardEntries,
  type Login,
  NotNow,
  passwordAuthenticator,
} from "../shared/login.ts";
import { table, text } from "../shared/options.ts";
import { DovecotClient } from "./client.ts";

const schema = table({
  server: endpoint(),
  service: v.optional(text("the name of a service"), "smtp"),
  ...guardEntries,
  ...cacheEntries,
});

/** Options, as the plugin is given them: durations in milliseconds. */
export type Options = v.InferOutput<typeof schema>;

/** Options, as the operator writes them. */
export const options: OptionsSchema = schema;

/** What the plugin says of itself. */
export const manifest: Manifest = { version: "1.0.0" };

const authDovecot: PluginModule<Options> = (edge, options) => {
  const client = new DovecotClient(edge, options.server);

  async function ask({ user, password, context }: Login): Promise<Finding> {
    const { session, signal } = context;
    const answer = await client.ask({
      service: options.service,
      local: session.local,
      remote: session.remote,
      secured: session.tls !== undefined,
      session: session.id,
      response: base64(`\0${user}\0${password}`),
    }, signal);
    switch (answer.answer) {
      case "ok":
        return { user: answer.user ?? user };
      case "wrong":
        return "wrong";
      case "later":
        throw new NotNow("Dovecot defers the login");
      case "nonsense":
        throw new Error("Dovecot asks for more than PLAIN has");
    }
  }

  return {
    name: "auth-dovecot",
    onError: "tempfail",
    hooks: { auth: passwordAuthenticator(edge, options, ask) },
    close: () => client.close(),
  };
};

export default authDovecot;
