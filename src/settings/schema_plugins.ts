/**
 * The configuration file's form: `[[plugins]]`, what the operator decides for each plugin. The rest is in `schema.ts`.
 * @module
 */
import * as v from "valibot";
import * as f from "./fields.ts";

const when = v.strictObject({
  networks: v.optional(v.pipe(
    f.some(f.network),
    v.description("Only clients of these networks"),
  )),
  authenticated: v.optional(v.pipe(
    f.flag,
    v.description("Only clients that have authenticated; `false`: only those that have not"),
  )),
  tls: v.optional(v.pipe(
    f.flag,
    v.description("Only sessions under TLS; `false`: only those in plain text"),
  )),
  helo: v.optional(v.pipe(
    f.some(f.domainPattern),
    v.description("Only clients that greet with these names, `*.` for any subdomain"),
  )),
  sender_domains: v.optional(v.pipe(
    f.some(f.domainPattern),
    v.description("Only mail from these domains; the null reverse-path is of none"),
  )),
  recipient_domains: v.optional(v.pipe(
    f.some(f.domainPattern),
    v.description("Only recipients of these domains; from DATA on: mail to at least one of them"),
  )),
});

/** One policy. */
export const plugin = v.strictObject({
  use: v.pipe(
    f.text,
    v.description("Name of a bundled policy, or the path of a file of your own (`./name.ts`)"),
  ),
  listeners: v.optional(v.pipe(
    f.some(f.name),
    v.description("Only sessions of these listeners"),
  )),
  mode: v.optional(
    v.pipe(
      f.choice(["enforce", "shadow", "off"]),
      v.description("`shadow`: asked and logged, and its answers have no effect"),
    ),
    "enforce",
  ),
  percent: v.optional(
    v.pipe(
      f.integer(0, 100),
      v.description("Enforced in so many of a hundred sessions; a shadow in the others"),
    ),
    100,
  ),
  when: v.optional(v.pipe(
    when,
    v.description("For whom it is asked; what is not known yet does not hold"),
  )),
  after: v.optional(v.pipe(
    f.some(f.text),
    v.description("`use` of plugins that are asked before it"),
  )),
  before: v.optional(v.pipe(
    f.some(f.text),
    v.description("`use` of plugins that are asked after it"),
  )),
  on_error: v.optional(v.pipe(
    f.choice(["pass", "tempfail", "refuse"]),
    v.description("What its own failure means; without it as the plugin says, else `tempfail`"),
  )),
  budget: v.optional(v.pipe(f.duration, v.description("Time for its answer, each time")), "5s"),
  isolation: v.optional(
    v.pipe(
      f.choice(["inline", "worker"]),
      v.description("`worker`: in a worker of its own, ended and restarted when it breaks"),
    ),
    "inline",
  ),
  grant: v.optional(v.pipe(
    v.strictObject({
      net: v.optional(v.pipe(
        v.array(f.text),
        v.description("Hosts, with a port or for every port; `*`: any"),
      )),
      read: v.optional(v.pipe(v.array(f.text), v.description("Files and folders; `*`: any"))),
    }),
    v.description("What a plugin in a worker may do of what its manifest asks for"),
  )),
  watch: v.optional(
    v.pipe(
      f.flag,
      v.description(
        "Reload it when its file changes: new sessions take the new one, and a broken one is not taken",
      ),
    ),
    false,
  ),
  options: v.optional(v.pipe(
    v.unknown(),
    v.metadata({ expects: "anything", type: "the plugin's own" }),
    v.description("Passed to the plugin, which checks them"),
  )),
});
