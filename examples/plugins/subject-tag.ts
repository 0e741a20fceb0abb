/**
 * Puts a tag before the subject of mail from outside: from clients that have not logged in.
 *
 * ```toml
 * [[plugins]]
 * use = "./plugins/subject-tag.ts"
 * options = { tag = "[External]" }
 * ```
 *
 * Options: `tag` (needed; printable ASCII). A subject that has the tag already, behind `Re:` as well, stays as it is; in an
 * encoded word (RFC 2047) the tag is not looked for. Cost: an edit of the header block for each message. On failure:
 * `pass`. A DKIM signature that covers the subject, as most do, is broken by it: tag behind the server that checks them.
 */
import type { Manifest, OptionsSchema, PluginModule } from "@postern/postern/plugin";

interface Options {
  readonly tag: string;
}

export const manifest: Manifest = { version: "1.0.0" };

export const options: OptionsSchema = {
  "~standard": {
    version: 1,
    vendor: "subject-tag",
    validate(value) {
      const { tag, ...rest } = value as Partial<Options>;
      const issues = Object.keys(rest).map((key) => ({ message: "unknown key", path: [key] }));
      if (typeof tag !== "string" || !/^[!-~](?:[ -~]{0,38}[!-~])?$/.test(tag)) {
        issues.push({ message: "expected a text such as [External]", path: ["tag"] });
      }
      return issues.length > 0 ? { issues } : { value: { tag } };
    },
  },
};

export default ((edge, { tag }: Options) => ({
  name: "subject-tag",
  onError: "pass",
  hooks: {
    header(header, { session }) {
      if (session.identity !== undefined) return;
      const subject = header.get("Subject") ?? "";
      if (subject.includes(tag)) return;
      header.replace("Subject", subject === "" ? tag : `${tag} ${subject}`);
      edge.metrics.count("tagged");
    },
  },
})) satisfies PluginModule<Options>;
