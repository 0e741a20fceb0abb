/**
 * What `postern plugin new` writes: a plugin with its README, a dialogue and tests, by file name.
 * @module
 */

/** The files of a new plugin; `name` is `[a-z0-9-]+`. */
export function pluginTemplate(name: string): ReadonlyMap<string, string> {
  return new Map([
    ["mod.ts", moduleText(name)],
    ["README.md", readmeText(name)],
    [`${name}.dialogue`, dialogueText(name)],
    ["tests.ts", testsText()],
    [`${name}_test.ts`, runnerText()],
  ]);
}

function moduleText(name: string): string {
  return `import type { PluginModule } from "@postern/postern/plugin"; // erased at run time

export default ((edge, options: { domains?: string[] }) => ({
  name: "${name}",
  onError: "pass", // a broken policy must not stop mail ... or "tempfail"
  hooks: {
    rcpt: (to) =>
      options.domains?.includes(to.domain)
        ? edge.refuse(550, "5.7.1", "Recipient not accepted here")
        : undefined, // no opinion
  },
})) satisfies PluginModule<{ domains?: string[] }>;
`;
}

function readmeText(name: string): string {
  return `# ${name}

Refuses recipients by their domain.

\`\`\`toml
[[plugins]]
use = "./${name}/mod.ts"
options = { domains = ["spam.test"] }
\`\`\`

## Options

| key       | meaning                            | default |
| --------- | ---------------------------------- | ------- |
| \`domains\` | recipient domains that are refused | none    |

## Cost

One look into a list for each recipient.

## On failure

\`pass\`: a broken policy does not stop mail. \`on_error\` of the configuration overrides it.

## Tests

\`postern plugin test ${name}\` runs \`${name}.dialogue\` and \`tests.ts\`, and needs nothing else.
\`${name}_test.ts\` is for \`deno test\` and \`bun test\`, where \`@postern/postern\` is installed.
`;
}

function dialogueText(name: string): string {
  return `# ${name}: one domain is refused, the message to another goes on.
config plugin.options = { domains = ["spam.test"] }
S: 220 *
C: EHLO client.test
S: ...
S: 250 *
C: MAIL FROM:<a@client.test>
S: 250 2.1.0 *
C: RCPT TO:<b@spam.test>
S: 550 5.7.1 Recipient not accepted here
C: RCPT TO:<c@example.org>
S: 250 *
C: DATA
S: 354 *
C: Subject: hello
C:
C: Hello
C: .
S: 250 2.0.0 *
`;
}

function testsText(): string {
  return `import assert from "node:assert/strict";
import type { PluginTests } from "@postern/postern/testing"; // erased at run time

export default ((kit) => ({
  "refuses recipients of the domains, in any case": async () => {
    const plugin = await kit.runPlugin({ options: { domains: ["spam.test"] } });
    await plugin.mail("a@client.test");
    const { verdict } = await plugin.rcpt("b@SPAM.test");
    assert.equal(verdict.verdict, "refuse");
  },

  "has no opinion on others, nor without options": async () => {
    const plugin = await kit.runPlugin();
    await plugin.mail("a@client.test");
    assert.equal((await plugin.rcpt("b@spam.test")).verdict.verdict, "pass");
  },
})) satisfies PluginTests;
`;
}

function runnerText(): string {
  return `// For "deno test" and "bun test", where @postern/postern is installed. "postern plugin test" runs the same without.
import { test } from "node:test";
import { pluginTests } from "@postern/postern/testing";

for (const { name, run } of await pluginTests(new URL("./", import.meta.url))) test(name, run);
`;
}
