/**
 * auth-certificate: who has shown a client certificate is logged in by it (AUTH EXTERNAL, RFC 4422 appendix A).
 *
 * Owns: which certificate is whose. Never: sees a certificate that did not verify: the host offers EXTERNAL to nobody else;
 * takes a name from a certificate unless the operator said that its names are logins.
 * @module
 */
import type {
  CertificateCredentials,
  Defer,
  Identity,
  Manifest,
  OptionsSchema,
  PluginModule,
  Refuse,
} from "@postern/postern/plugin";
import * as v from "valibot";
import { canonicalLogin } from "../shared/canonical.ts";
import { linesOf } from "../shared/lines.ts";
import { expected, flag, table, text } from "../shared/options.ts";
import { type Watched, watched } from "../shared/watched.ts";

const fingerprintMessage = expected("a SHA-256 fingerprint: 64 hexadecimal digits");

const schema = v.pipe(
  table({
    fingerprints: v.optional(
      v.record(
        v.pipe(
          v.string(),
          v.check((given) => parseFingerprint(given) !== undefined, fingerprintMessage),
        ),
        login(),
        expected("a table of fingerprints and logins"),
      ),
      {},
    ),
    subjects: v.optional(
      v.record(text("a common name"), login(), expected("a table of common names and logins")),
      {},
    ),
    file: v.optional(text("the path of a file of certificates")),
    subject_is_login: v.optional(flag(), false),
  }),
  v.check(
    ({ fingerprints, subjects, file, subject_is_login }) =>
      Object.keys(fingerprints).length > 0 || Object.keys(subjects).length > 0 ||
      file !== undefined || subject_is_login,
    "expected fingerprints, subjects, file or subject_is_login",
  ),
);

/** A login in the form in which logins are compared. */
function login() {
  const message = expected("a login");
  return v.pipe(
    v.string(message),
    v.check(
      (given) => canonicalLogin(given) !== undefined && !/[\x00-\x1f\x7f]/.test(given),
      message,
    ),
    v.transform((given) => canonicalLogin(given) ?? given),
  );
}

/** Options, as the plugin is given them. */
export type Options = v.InferOutput<typeof schema>;

/** Options, as the operator writes them. */
export const options: OptionsSchema = schema;

/** What the plugin says of itself. */
export const manifest: Manifest = { version: "1.0.0" };

/** Lower-case hex without colons, as the host tells it; undefined for anything else. */
function parseFingerprint(given: string): string | undefined {
  const digits = given.replace(/^sha256:/i, "").replaceAll(":", "").toLowerCase();
  return /^[0-9a-f]{64}$/.test(digits) ? digits : undefined;
}

/** What is known of certificates. */
interface Certificates {
  readonly fingerprints: ReadonlyMap<string, string>;
  readonly subjects: ReadonlyMap<string, string>;
}

const authCertificate: PluginModule<Options> = async (edge, options) => {
  const own: Certificates = {
    fingerprints: new Map(
      Object.entries(options.fingerprints).map(([key, login]) => [parseFingerprint(key)!, login]),
    ),
    subjects: new Map(Object.entries(options.subjects)),
  };
  const file: Watched<Certificates> | undefined = options.file === undefined
    ? undefined
    : await watched(edge, options.file, (content) => parse(content, options.file!));
  const invalid = edge.refuse(535, "5.7.8", "Authentication credentials invalid");
  const unavailable = edge.defer(454, "4.7.0", "Temporary authentication failure");

  /** One certificate a line: its fingerprint, or `cn=` and its common name, then the login. */
  function parse(content: string, path: string): Certificates {
    const fingerprints = new Map<string, string>();
    const subjects = new Map<string, string>();
    for (const { number, fields } of linesOf(content)) {
      const owner = canonicalLogin(fields.at(-1) ?? "");
      const name = fields.slice(0, -1).join(" ");
      const digits = parseFingerprint(name);
      if (owner !== undefined && digits !== undefined) fingerprints.set(digits, owner);
      else if (owner !== undefined && /^cn=./i.test(name)) subjects.set(name.slice(3), owner);
      else {edge.log.error("Certificates file: a line is no certificate and login", {
          file: path,
          line: number,
        });}
    }
    edge.log.info("Certificates file read", {
      file: path,
      certificates: fingerprints.size + subjects.size,
    });
    return { fingerprints, subjects };
  }

  /** The fingerprint is one certificate's, a name may be many's: the more exact one counts. */
  function ownerOf(fingerprint: string, subject: string): string | undefined {
    const current = file?.current;
    return own.fingerprints.get(fingerprint) ?? current?.fingerprints.get(fingerprint) ??
      own.subjects.get(subject) ?? current?.subjects.get(subject) ??
      (options.subject_is_login ? canonicalLogin(subject) : undefined);
  }

  function certificate(
    { user, subject, fingerprint, mechanism }: CertificateCredentials,
  ): Identity | Refuse | Defer {
    if (file !== undefined && file.current === undefined) return unavailable;
    const owner = ownerOf(fingerprint, subject);
    if (owner !== undefined && (user === "" || canonicalLogin(user) === owner)) {
      return { user: owner, mechanism };
    }
    edge.metrics.count("failures");
    edge.log.info("Certificate refused", {
      fingerprint,
      subject,
      reason: owner === undefined ? "nobody's" : "another's",
    });
    return invalid;
  }

  return {
    name: "auth-certificate",
    onError: "tempfail",
    hooks: { auth: { mechanisms: ["EXTERNAL"], certificate } },
    close: () => file?.close(),
  };
};

export default authCertificate;
