/**
 * sender-login: whoever has logged in sends as himself only: the reverse-path, and by choice the From field, must belong to
 * the login (RFC 6409 sections 6.1 and 8.1).
 *
 * Owns: whose an address is. Never: judges who has not logged in; makes a promise.
 * @module
 */
import type {
  Defer,
  HeaderView,
  Hooks,
  Identity,
  Manifest,
  OptionsSchema,
  PluginModule,
  Refuse,
  ReversePath,
  SessionFacts,
} from "@postern/postern/plugin";
import * as v from "valibot";
import { canonicalLogin } from "../shared/canonical.ts";
import { expected, flag, table, text } from "../shared/options.ts";
import { watched } from "../shared/watched.ts";
import { parseFrom } from "./from.ts";
import { type Owners, ownersOf, parseOwners, parsePattern, type Parts, partsOf } from "./owners.ts";

const patternMessage = expected(
  'an address such as "anna@example.org", a domain such as "@example.org", or "*"',
);

const schema = table({
  logins: v.optional(
    v.record(
      text("a login"),
      v.array(
        v.pipe(
          v.string(patternMessage),
          v.check((given) => parsePattern(given) !== undefined, patternMessage),
        ),
        expected("a list of addresses"),
      ),
      expected("a table of logins and their addresses"),
    ),
    {},
  ),
  file: v.optional(text("the path of a file of logins and addresses")),
  same_as_login: v.optional(flag(), true),
  subaddresses: v.optional(flag(), false),
  allow_null: v.optional(flag(), true),
  header: v.optional(flag(), false),
});

/** Options, as the plugin is given them. */
export type Options = v.InferOutput<typeof schema>;

/** Options, as the operator writes them. */
export const options: OptionsSchema = schema;

/** What the plugin says of itself. */
export const manifest: Manifest = { version: "1.0.0" };

const senderLogin: PluginModule<Options> = async (edge, options) => {
  const { same_as_login, subaddresses, allow_null, header } = options;
  const own = ownersOf(options.logins);
  const file = options.file === undefined
    ? undefined
    : await watched(edge, options.file, (content) => parse(content, options.file!));
  const unavailable = edge.defer(451, "4.3.0", "Temporary failure");
  const notOwned = edge.refuse(550, "5.7.1", "Sender address does not belong to your login");
  const notRead = edge.refuse(550, "5.7.1", "From field must have one meaning, and be yours");

  function parse(content: string, path: string): Owners {
    const { owners, broken } = parseOwners(content);
    for (const line of broken) {
      edge.log.error("Logins file: a line is not a login and addresses", { file: path, line });
    }
    edge.log.info("Logins file read", { file: path, logins: owners.size });
    return owners;
  }

  function owns(login: string, address: Parts): boolean {
    if (same_as_login && isOwn(login, address)) return true;
    const has = (owners: Owners | undefined) =>
      owners?.get(login)?.some((pattern) => pattern(address)) === true;
    return has(own) || has(file?.current);
  }

  /** `anna+news@example.org` is `anna@example.org` where subaddresses (RFC 5233) are on. */
  function isOwn(login: string, { local, domain }: Parts): boolean {
    const self = partsOf(login);
    if (self === undefined || self.domain !== domain) return false;
    const plus = subaddresses ? local.indexOf("+") : -1;
    const name = plus > 0 ? local.slice(0, plus) : local;
    return name.toLowerCase() === self.local.toLowerCase() ||
      local.toLowerCase() === self.local.toLowerCase();
  }

  function refused(session: SessionFacts, refusal: Refuse, stage: string): Refuse {
    edge.metrics.count("refused");
    edge.log.info("Sender refused", { session: session.id, login: session.identity?.user, stage });
    return refusal;
  }

  function loginOf({ user }: Identity): string {
    return canonicalLogin(user) ?? user;
  }

  function mail(
    from: ReversePath,
    { session }: { readonly session: SessionFacts },
  ): Refuse | Defer | undefined {
    if (session.identity === undefined) return undefined;
    if (from === null) return allow_null ? undefined : refused(session, notOwned, "mail");
    if (file !== undefined && file.current === undefined) return unavailable;
    return owns(loginOf(session.identity), from) ? undefined : refused(session, notOwned, "mail");
  }

  function headerBlock(
    view: HeaderView,
    { session }: { readonly session: SessionFacts },
  ): Refuse | Defer | undefined {
    if (session.identity === undefined) return undefined;
    if (file !== undefined && file.current === undefined) return unavailable;
    const fields = view.fields();
    const named = (wanted: string) =>
      fields.filter(({ name }) => name.trim().toLowerCase() === wanted).map(({ value }) => value);
    const from = named("from");
    const senders = named("sender");
    // Two of them, and each reader takes another.
    if (from.length !== 1 || senders.length > 1) return refused(session, notRead, "header");
    const login = loginOf(session.identity);
    for (const value of [...from, ...senders]) {
      const addresses = parseFrom(value);
      if (addresses === undefined) return refused(session, notRead, "header");
      if (!addresses.every((address) => owns(login, address))) {
        return refused(session, notOwned, "header");
      }
    }
    return undefined;
  }

  const hooks: Hooks = header ? { mail, header: headerBlock } : { mail };
  return { name: "sender-login", onError: "tempfail", hooks, close: () => file?.close() };
};

export default senderLogin;
