/**
 * auth-file: checks logins against a file of password hashes and SCRAM secrets (RFC 4954, RFC 4616, RFC 5802).
 *
 * Owns: the users list and its reload, the same answer and the same time for known and unknown logins, locks.
 * Never: logs, stores or keeps a password; answers anything but 535 for a wrong login, whatever is wrong with it.
 * @module
 */
import type {
  Authenticator,
  Credentials,
  Defer,
  HookContext,
  Identity,
  Manifest,
  OptionsSchema,
  PluginModule,
  Refuse,
  ScramDecoy,
  ScramResult,
  ScramSecret,
} from "@postern/postern/plugin";
import * as v from "valibot";
import { canonicalLogin } from "../shared/canonical.ts";
import { networks } from "../shared/network.ts";
import { duration, oneOf, table, text, whole } from "../shared/options.ts";
import { guard } from "../shared/guard.ts";
import { commonParameters, decoyHash, hashKind, parseUsers, type Users } from "./users.ts";

const schema = table({
  users: text("the path of a users file"),
  max_failures: v.optional(whole(1), 10),
  window: v.optional(duration(), "15m"),
  lock: v.optional(duration(), "15m"),
  exempt: v.optional(networks(), []),
  scram: v.optional(oneOf(["auto", "always", "never"]), "auto"),
});

/** Options, as the plugin is given them: durations in milliseconds. */
export type Options = v.InferOutput<typeof schema>;

/** Options, as the operator writes them. */
export const options: OptionsSchema = schema;

/** What the plugin says of itself. */
export const manifest: Manifest = { version: "1.0.0", read: ["*"] };

interface Loaded extends Users {
  readonly decoy: string;
  /** What the secret of an unknown login seems to be made with. */
  readonly unknown: ScramDecoy;
}

const authFile: PluginModule<Options> = async (edge, options) => {
  const attempt = guard(edge, options);
  // undefined: the file cannot be read at the moment.
  let loaded: Loaded | undefined = await load();
  let latest = 0;

  async function load(): Promise<Loaded> {
    const users = parseUsers(await edge.readText(options.users));
    for (const line of users.broken) {
      edge.log.error("Users file: a line is not login:hash", { file: options.users, line });
    }
    for (const line of users.repeated) {
      edge.log.warn("Users file: a login is given twice, the last line counts", {
        file: options.users,
        line,
      });
    }
    const decoy = decoyHash(users.hashes) ?? await edge.passwords.hash(crypto.randomUUID());
    edge.log.info("Users file read", { file: options.users, users: users.hashes.size });
    return { ...users, decoy, unknown: commonParameters(users.scram) };
  }

  async function reload(): Promise<void> {
    const mine = ++latest;
    let result: Loaded | undefined;
    try {
      result = await load();
    } catch (cause) {
      // The old list could hold logins that were taken out: better no answer than a wrong one.
      edge.log.error("Cannot read users file, logins are deferred", {
        file: options.users,
        cause: cause instanceof Error ? cause.message : String(cause),
      });
    }
    // Two changes in a row: only the newest reading counts.
    if (mine === latest) loaded = result;
  }

  const invalid = edge.refuse(535, "5.7.8", "Authentication credentials invalid");
  const unavailable = edge.defer(454, "4.7.0", "Temporary authentication failure");

  async function matches(users: Loaded, login: string | undefined, password: string) {
    const hash = login === undefined ? undefined : users.hashes.get(login);
    if (hash === undefined) {
      await edge.passwords.verify(users.decoy, password);
      return false;
    }
    try {
      return await edge.passwords.verify(hash, password);
    } catch {
      edge.log.error("Users file: a hash cannot be verified", { kind: hashKind(hash) });
      await edge.passwords.verify(users.decoy, password);
      return false;
    }
  }

  function verify(
    credentials: Credentials,
    context: HookContext,
  ): Promise<Identity | Refuse | Defer> {
    return judged(
      credentials,
      context,
      (users, login) => matches(users, login, credentials.password),
    );
  }

  function judged(
    { user, mechanism }: { readonly user: string; readonly mechanism: string },
    context: HookContext,
    isRight: (users: Loaded, login: string | undefined) => boolean | Promise<boolean>,
  ): Promise<Identity | Refuse | Defer> {
    const login = canonicalLogin(user);
    const current = attempt(context.session.remote.address, login ?? "");
    return current.inTurn(context.signal, async () => {
      // Nobody waits for the answer any more.
      if (loaded === undefined || context.signal.aborted) return unavailable;
      // No hashing for a locked source: it would be a cheap way to keep the processor busy.
      if (await current.locked()) return invalid;
      const right = await isRight(loaded, login);
      // Asked again: another source may have locked the login meanwhile.
      if (await current.locked()) return invalid;
      if (!right || login === undefined) {
        edge.metrics.count("failures");
        await current.failed();
        return invalid;
      }
      await current.succeeded();
      return { user: login, mechanism };
    });
  }

  /** At once, locked or not: a lock is told, as anything else, by the answer to the proof. */
  function scram(user: string): ScramSecret | ScramDecoy | Defer {
    if (loaded === undefined) return unavailable;
    const login = canonicalLogin(user);
    const secret = login === undefined ? undefined : loaded.scram.get(login);
    return secret ?? loaded.unknown;
  }

  function scramChecked(result: ScramResult, context: HookContext) {
    // Since the proof began the login may have been taken out, or its password changed.
    return judged(
      result,
      context,
      (users, login) => result.proved && login !== undefined && users.scram.has(login),
    );
  }

  const offersScram = offers(options.scram, loaded);
  if (options.scram === "auto" && !offersScram && loaded.scram.size > 0) {
    edge.log.warn("SCRAM-SHA-256 is not offered: not every login has a secret for it", {
      file: options.users,
      users: loaded.hashes.size,
      secrets: loaded.scram.size,
    });
  }
  const auth: Authenticator = offersScram
    ? { mechanisms: ["SCRAM-SHA-256", "PLAIN", "LOGIN"], verify, scram, scramChecked }
    : { mechanisms: ["PLAIN", "LOGIN"], verify };
  const stop = edge.watchFile(options.users, () => void reload());
  return { name: "auth-file", onError: "tempfail", hooks: { auth }, close: stop };
};

/**
 * EHLO is the same for everybody, and a client takes the strongest mechanism it finds there: offered while some login has
 * no secret, SCRAM would lock that one out.
 */
function offers(scram: Options["scram"], { hashes, scram: secrets }: Users): boolean {
  if (scram !== "auto") return scram === "always";
  return secrets.size > 0 && secrets.size === hashes.size;
}

export default authFile;
