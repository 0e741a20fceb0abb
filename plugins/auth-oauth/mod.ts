/**
 * auth-oauth: checks bearer tokens (XOAUTH2, OAUTHBEARER: RFC 7628), by the keys of their issuer (RFC 7519, RFC 8725) or by
 * asking the authorization server (RFC 7662).
 *
 * Owns: the keys, the memory of answers, the lock of sources that guess. Never: logs or keeps a token; takes a token whose
 * issuer, audience or algorithm is not the configured one; says why to the client.
 * @module
 */
import type {
  Defer,
  HookContext,
  Identity,
  Manifest,
  OptionsSchema,
  PluginModule,
  Refuse,
  TokenCredentials,
} from "@postern/postern/plugin";
import { errors, jwtVerify } from "jose";
import { canonicalLogin } from "../shared/canonical.ts";
import { guard } from "../shared/guard.ts";
import { type Demands, judge } from "./claims.ts";
import { type Introspected, introspector } from "./introspection.ts";
import { fileKeys, remoteKeys, Unavailable } from "./keys.ts";
import { type Options, schema } from "./options.ts";

/** Options, as the operator writes them. */
export const options: OptionsSchema = schema;

/** What the plugin says of itself. */
export const manifest: Manifest = { version: "1.0.0", net: ["*"] };

export type { Options };

/** What the library calls a token that its issuer has signed and that is still not good, in our words. */
const reasons: ReadonlyMap<string, string> = new Map([
  ["exp", "expired"],
  ["nbf", "not yet valid"],
  ["iss", "another issuer"],
  ["aud", "another audience"],
]);

const authOAuth: PluginModule<Options> = async (edge, options) => {
  const { judged, close } = await judgeOf();
  const attempt = guard(edge, options);
  const invalid = edge.refuse(535, "5.7.8", "Authentication credentials invalid");
  const unavailable = edge.defer(454, "4.7.0", "Temporary authentication failure");
  let ill = false;

  async function judgeOf(): Promise<{
    judged: (token: string) => Promise<Introspected>;
    close: () => void;
  }> {
    const { introspection, jwks_url: url, jwks_file: file, scope = [] } = options;
    if (introspection !== undefined) {
      const demands = { scope, claim: options.claim ?? "username" };
      const judged = await introspector(edge, { ...options, introspection }, demands);
      return { judged, close: () => {} };
    }
    const keys = url === undefined
      ? await fileKeys(edge, file ?? "")
      : remoteKeys(edge, url, options);
    const demands: Demands = { scope, claim: options.claim ?? "email" };
    const judged = async (token: string): Promise<Introspected> => {
      try {
        const { payload } = await jwtVerify(token, keys.find, {
          issuer: options.issuer ?? [],
          audience: options.audience ?? [],
          algorithms: options.algorithms,
          clockTolerance: options.clock_skew / 1000,
          currentDate: new Date(edge.clock.now()),
          requiredClaims: ["exp"],
        });
        return judge(payload, demands);
      } catch (cause) {
        if (
          cause instanceof errors.JWTExpired ||
          cause instanceof errors.JWTClaimValidationFailed
        ) return { refused: reasons.get(cause.claim) ?? "a claim is not right" };
        // Not signed by the issuer, not in the form of a token: whoever sends it may be guessing.
        if (cause instanceof errors.JOSEError) return "inactive";
        throw cause;
      }
    };
    return { judged, close: () => keys.close() };
  }

  async function examine(token: string): Promise<Introspected | undefined> {
    try {
      const found = await judged(token);
      if (ill) edge.log.info("Tokens can be checked again");
      ill = false;
      return found;
    } catch (cause) {
      edge.metrics.count("unavailable");
      const message = cause instanceof Error ? cause.message : String(cause);
      if (!ill) {
        edge.log.error("Cannot check tokens, logins are deferred", {
          cause: message.replaceAll(token, "[redacted]"),
          keys: cause instanceof Unavailable,
        });
      }
      ill = true;
      return undefined;
    }
  }

  function token(
    { token, user, mechanism }: TokenCredentials,
    context: HookContext,
  ): Promise<Identity | Refuse | Defer> {
    const current = attempt(context.session.remote.address);
    return current.inTurn(context.signal, async () => {
      if (context.signal.aborted) return unavailable;
      if (await current.locked()) return invalid;
      const found = await examine(token);
      if (found === undefined) return unavailable;
      const refused = found === "inactive"
        ? "not one of the issuer's"
        : "refused" in found
        ? found.refused
        : isSame(user, found.login)
        ? undefined
        : "another's token";
      if (refused === undefined && found !== "inactive" && "login" in found) {
        await current.succeeded();
        return { user: found.login, mechanism };
      }
      edge.metrics.count("failures");
      edge.log.info("Token refused", { session: context.session.id, reason: refused });
      // A token that has run out, or is for somebody else, is nobody's guess.
      if (found === "inactive") await current.failed();
      return invalid;
    });
  }

  return {
    name: "auth-oauth",
    onError: "tempfail",
    hooks: { auth: { mechanisms: ["OAUTHBEARER", "XOAUTH2"], token } },
    close,
  };
};

/** Whether the client wants to be whom its token names. Who it is comes from the token, so case does not matter here. */
function isSame(user: string, login: string): boolean {
  return user === "" || canonicalLogin(user)?.toLowerCase() === login.toLowerCase();
}

export default authOAuth;
