/**
 * How to go on with the demo: commands that can be pasted into another terminal.
 * @module
 */
import { type DemoFolder, WORLD } from "./folder.ts";
import type { CliIo } from "../io.ts";
import { styles } from "../output.ts";

/** What the commands need to know. */
export interface DemoAddresses {
  readonly folder: DemoFolder;
  readonly mx: string;
  readonly submission: string;
}

/** Names of the reader, for whom the mail is. */
const YOU = "you@example.com";

/** The text under the ready line. */
export function usageText({ folder, mx, submission }: DemoAddresses, io: CliIo): string {
  const style = styles(io);
  const postern = programName(io);
  const part = (title: string, ...lines: readonly string[]): string =>
    `${style.bold(title)}\n${lines.map((line) => `  ${line}\n`).join("")}\n`;
  return `\n${
    style.bold("Now you.")
  } Paste these into another terminal; what becomes of your mail is shown here.\n\n` +
    part(
      "Write to Alice",
      `${postern} send -s ${mx} -f ${YOU} -t ${WORLD.alice} --subject Hello`,
      `swaks --server ${mx} --tls --from ${YOU} --to ${WORLD.alice}`,
      `printf 'Subject: Hello\\r\\n\\r\\nHello\\r\\n' | curl -k --ssl-reqd smtp://${mx} \\`,
      `  --mail-from ${YOU} --mail-rcpt ${WORLD.alice} -T -`,
    ) +
    part(
      `Be Alice (login ${WORLD.user}, password ${folder.password})`,
      `echo '${folder.password}' | ${postern} send -s ${submission} --insecure \\`,
      `  --user ${WORLD.user} --password-stdin -f ${WORLD.alice} -t ${YOU}`,
      `swaks --server ${submission} --tls --auth-user ${WORLD.user} --auth-password '${folder.password}' \\`,
      `  --from ${WORLD.alice} --to ${YOU}`,
    ) +
    part(
      "Look at",
      `the mailboxes      ${folder.path}/mail  (Maildir)`,
      `the configuration  ${folder.config}`,
      `the log            ${folder.log}`,
      `why, once more     ${postern} explain ID -c ${folder.config}`,
    ) +
    `Ctrl-C stops it${folder.temporary ? " and removes the folder" : ""}.\n`;
}

/** How the person has most likely started this program. */
function programName(io: CliIo): string {
  if ("Bun" in globalThis) return "bun run postern";
  return io.env("npm_command") === "exec" ? "npx -y deno@2 task postern" : "deno task postern";
}
