/**
 * auth-http: asks an HTTP service whether a login is right, as nginx's mail proxy does (`auth_http`).
 *
 * Owns: the request's header fields, what the answer's mean. Never: follows a redirection (the password is in the header),
 * takes an answer without `Auth-Status` for one, tells the client what the service said.
 * @module
 */
import type { Manifest, OptionsSchema, PluginModule, SessionFacts } from "@postern/postern/plugin";
import * as v from "valibot";
import {
  cacheEntries,
  type Finding,
  guardEntries,
  type Login,
  NotNow,
  passwordAuthenticator,
} from "../shared/login.ts";
import { expected, table } from "../shared/options.ts";
import { readSecret, secret } from "../shared/secret.ts";
import { headersFor } from "./request.ts";

const schema = table({
  url: v.pipe(
    v.string(expected("the address of an HTTP service")),
    v.check(isHttp, "expected an address that begins with http:// or https://"),
  ),
  headers: v.optional(
    v.record(
      v.pipe(
        v.string(),
        v.regex(/^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/, expected("the name of a header field")),
      ),
      secret("the value of a header field"),
      expected("a table of header fields"),
    ),
    {},
  ),
  ...guardEntries,
  ...cacheEntries,
});

/** Options, as the plugin is given them: durations in milliseconds. */
export type Options = v.InferOutput<typeof schema>;

/** Options, as the operator writes them. */
export const options: OptionsSchema = schema;

/** What the plugin says of itself. */
export const manifest: Manifest = { version: "1.0.0", net: ["*"] };

const authHttp: PluginModule<Options> = async (edge, options) => {
  const { url } = options;
  const own = await Promise.all(
    Object.entries(options.headers).map(async ([name, value]): Promise<[string, string]> => [
      name,
      await readSecret(edge, value),
    ]),
  );
  const attempts = new WeakMap<SessionFacts, number>();

  async function ask(login: Login): Promise<Finding> {
    const { session, signal } = login.context;
    const attempt = (attempts.get(session) ?? 0) + 1;
    attempts.set(session, attempt);
    const response = await fetch(url, {
      headers: [...headersFor(login, attempt), ...own],
      redirect: "manual",
      signal,
    });
    await response.body?.cancel();
    const { headers } = response;
    const status = headers.get("auth-status");
    if (!response.ok) throw new Error(`The service answered ${response.status}`);
    if (status === null) throw new Error("The service answered without Auth-Status");
    if (status.trim() === "OK") return { user: userOf(headers.get("auth-user"), login.user) };
    // 4yz: the service cannot say now, as nginx tells its client.
    if (/^\s*4[0-9][0-9]/.test(headers.get("auth-error-code") ?? "")) {
      throw new NotNow("The service defers the login");
    }
    return "wrong";
  }

  return {
    name: "auth-http",
    onError: "tempfail",
    hooks: { auth: passwordAuthenticator(edge, options, ask) },
  };
};

function isHttp(text: string): boolean {
  return /^https?:\/\/[^\s]+$/i.test(text) && URL.canParse(text);
}

/** The service may give the login another name. */
function userOf(given: string | null, login: string): string {
  if (given === null || given.trim() === "") return login;
  if (/[\x00-\x1f\x7f]/.test(given)) throw new Error("The service gave a name that is none");
  return given.trim();
}

export default authHttp;
