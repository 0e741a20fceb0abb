/**
 * Sends mail for some recipients to an upstream of their own.
 *
 * ```toml
 * [[plugins]]
 * use = "./plugins/vip-routing.ts"
 * options = { upstream = "priority", recipients = ["ceo@example.org", "*@board.example.org"] }
 * ```
 *
 * Options: `upstream` (a name of the configuration), `recipients` (addresses, or `*@domain` for all of a domain; case does
 * not matter). Cost: two looks into a set for each recipient. On failure: `pass`, the mail takes its usual route. A
 * transaction has one upstream: a recipient of another one gets `452 4.5.3`, and the client comes again for it.
 */
import type { Manifest, OptionsSchema, PluginModule } from "@postern/postern/plugin";

interface Options {
  readonly upstream: string;
  readonly recipients: readonly string[];
}

export const manifest: Manifest = { version: "1.0.0" };

export const options: OptionsSchema = {
  "~standard": {
    version: 1,
    vendor: "vip-routing",
    validate(value) {
      const { upstream, recipients, ...rest } = value as Partial<Options>;
      const issues: { message: string; path: (string | number)[] }[] = Object.keys(rest)
        .map((key) => ({ message: "unknown key", path: [key] }));
      if (typeof upstream !== "string" || upstream === "") {
        issues.push({ message: "expected the name of an upstream", path: ["upstream"] });
      }
      if (!Array.isArray(recipients)) {
        issues.push({ message: "expected a list of addresses", path: ["recipients"] });
      }
      for (const [index, address] of (Array.isArray(recipients) ? recipients : []).entries()) {
        if (typeof address === "string" && /^[^\s@]+@[^\s@]+$/.test(address)) continue;
        issues.push({
          message: "expected user@domain or *@domain",
          path: ["recipients", index],
        });
      }
      return issues.length > 0 ? { issues } : { value: { upstream, recipients } };
    },
  },
};

export default ((edge, { upstream, recipients }: Options) => {
  const known = new Set(recipients.map((address) => address.toLowerCase()));
  const there = edge.rewrite({ upstream });
  return {
    name: "vip-routing",
    onError: "pass",
    hooks: {
      rcpt: ({ address, domain }) =>
        known.has(address.toLowerCase()) || known.has(`*@${domain.toLowerCase()}`)
          ? there
          : undefined,
    },
  };
}) satisfies PluginModule<Options>;
