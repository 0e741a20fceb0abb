/**
 * auth-file: checks logins against a file of password hashes (RFC 4954, RFC 4616).
 *
 * Owns: the users list and its reload, the same answer and the same time for known and unknown logins, locks.
 * Never: logs, stores or keeps a password; answers anything but 535 for a wrong login, whatever is wrong with it.
 * @module
 */
import type {
  Credentials,
  Defer,
  HookContext,
  Identity,
  Manifest,
  OptionsSchema,
  PluginModule,
  Refuse,
} from "@postern/postern/plugin";
import * as v from "valibot";
import { networks } from "../shared/network.ts";
import { duration, table, text, whole } from "../shared/options.ts";
import { guard } from "../shared/guard.ts";
import { canonicalLogin, decoyHash, hashKind, parseUsers } from "./users.ts";

const schema = table({
  users: text("the path of a users file"),
  max_failures: v.optional(whole(1), 10),
  window: v.optional(duration(), "15m"),
  lock: v.optional(duration(), "15m"),
  exempt: v.optional(networks(), []),
});

/** Options, as the plugin is given them: durations in milliseconds. */
export type Options = v.InferOutput<typeof schema>;

/** Options, as the operator writes them. */
export const options: OptionsSchema = schema;

/** What the plugin says of itself. */
export const manifest: Manifest = { version: "1.0.0" };

interface Loaded {
  readonly hashes: ReadonlyMap<string, string>;
  readonly decoy: string;
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
    return { hashes: users.hashes, decoy };
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
    const login = canonicalLogin(credentials.user);
    const current = attempt(context.session.remote.address, login ?? "");
    return current.inTurn(context.signal, async () => {
      // Nobody waits for the answer any more.
      if (loaded === undefined || context.signal.aborted) return unavailable;
      // No hashing for a locked source: it would be a cheap way to keep the processor busy.
      if (await current.locked()) return invalid;
      const right = await matches(loaded, login, credentials.password);
      // Asked again: another source may have locked the login meanwhile.
      if (await current.locked()) return invalid;
      if (!right || login === undefined) {
        edge.metrics.count("failures");
        await current.failed();
        return invalid;
      }
      await current.succeeded();
      return { user: login, mechanism: credentials.mechanism };
    });
  }

  const stop = edge.watchFile(options.users, () => void reload());
  return {
    name: "auth-file",
    onError: "tempfail",
    hooks: { auth: { mechanisms: ["PLAIN", "LOGIN"], verify } },
    close: stop,
  };
};

export default authFile;
