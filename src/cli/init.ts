/**
 * `postern init`: writes a configuration with comments, which is right as it stands.
 * @module
 */
import * as path from "node:path";
import { isDomainPattern, isHostname, parseServer } from "../settings/address.ts";
import { quote } from "../settings/problem.ts";
import { CliError, EXIT, UsageError } from "./errors.ts";
import { createFile, isFolder, replaceFile } from "./files.ts";
import { initialConfig } from "./init/template.ts";
import type { Run } from "./io.ts";
import type { initSpec } from "./specs.ts";

/** Settings may name secrets and people: the owner writes, the group reads. */
const MODE = 0o640;

export const run: Run<typeof initSpec> = async ({ flags, words }, io) => {
  const domains = flags.domain.length === 0 ? ["example.org"] : flags.domain;
  const servers = flags.upstream.length === 0 ? ["maildir:./mail"] : flags.upstream;
  if (!isHostname(flags.hostname)) throw wrong("hostname", "a host name", flags.hostname);
  for (const domain of domains) {
    if (!isDomainPattern(domain)) throw wrong("domain", "a domain", domain);
  }
  for (const server of servers) {
    const parsed = parseServer(server, io.cwd);
    if ("kind" in parsed) continue;
    if (parsed.message !== undefined) {
      throw new UsageError(`Cannot use --upstream: ${parsed.message}`, "init");
    }
    throw wrong("upstream", parsed.expected ?? "a server", server);
  }

  const asked = words.path ?? "postern.toml";
  const named = path.resolve(io.cwd, asked);
  const inFolder = await isFolder(named);
  const file = inFolder ? path.join(named, "postern.toml") : named;
  const shown = inFolder ? path.join(asked, "postern.toml") : asked;
  const text = initialConfig({ hostname: flags.hostname, domains, servers });
  try {
    if (flags.force) await replaceFile(file, text, MODE);
    else await createFile(file, text, MODE);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EEXIST") {
      throw new CliError(`Cannot write ${shown}: it exists already (--force replaces it)`);
    }
    throw error;
  }
  io.stdout(`Wrote ${shown}\nNext: postern check -c ${shown}, then postern serve -c ${shown}\n`);
  return EXIT.done;
};

function wrong(flag: string, expected: string, got: string): UsageError {
  return new UsageError(`Cannot use --${flag}: expected ${expected}, got ${quote(got)}`, "init");
}
