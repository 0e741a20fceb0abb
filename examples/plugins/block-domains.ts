/**
 * A plugin in ten lines: refuses recipients of some domains, marks what it has seen, gives points to big messages.
 * It imports types only, so it runs as it is beside a compiled binary.
 * @module
 */
import type { PluginModule } from "@postern/postern/plugin"; // erased at run time

export default ((edge, options: { domains: string[] }) => ({
  name: "block-domains",
  onError: "pass", // a broken policy must not stop mail ... or "tempfail"
  hooks: {
    rcpt: (to) =>
      options.domains.includes(to.domain)
        ? edge.refuse(550, "5.7.1", "Recipient not accepted here")
        : undefined, // undefined = no opinion
    header: (h) => h.append("X-Edge-Seen", "1"), // edits are collected, applied once
    end: (tx) => edge.score(tx.size > 20e6 ? 2 : 0, "BIG_MESSAGE"),
  },
})) satisfies PluginModule<{ domains: string[] }>;
