/**
 * `postern plugin new NAME`: a folder with a plugin that runs and tests that pass.
 * @module
 */
import * as fs from "node:fs/promises";
import * as path from "node:path";
import { systemReason } from "../../runtime/system_reason.ts";
import { quote } from "../../settings/problem.ts";
import { CliError, EXIT, UsageError } from "../errors.ts";
import type { Run } from "../io.ts";
import type { pluginNewSpec } from "../specs.ts";
import { createFile } from "../files.ts";
import { pluginTemplate } from "./template.ts";

export const run: Run<typeof pluginNewSpec> = async ({ words }, io) => {
  const folder = path.resolve(io.cwd, words.name);
  const name = path.basename(folder);
  if (!/^[a-z0-9-]{1,64}$/.test(name) || name.startsWith("-")) {
    throw new UsageError(
      `Cannot make a plugin named ${quote(name)}: expected a-z, 0-9 and -, such as "block-domains"`,
      "plugin new",
    );
  }
  try {
    await fs.mkdir(folder);
  } catch (error) {
    const reason = error instanceof Error && "code" in error && error.code === "ENOENT"
      ? "the folder above it does not exist"
      : systemReason(error);
    if (reason === undefined) throw error;
    throw new CliError(`Cannot make ${words.name}: ${reason}`);
  }
  const files = pluginTemplate(name);
  for (const [file, text] of files) await createFile(path.join(folder, file), text, 0o644);
  const list = [...files.keys()].map((file) => `  ${path.join(words.name, file)}\n`).join("");
  const module = path.join(words.name, "mod.ts");
  const use = /^\.{0,2}\//.test(module) ? module : `./${module}`;
  io.stdout(
    `Wrote\n${list}Next: postern plugin test ${words.name}, then in postern.toml: use = "${use}"\n`,
  );
  return EXIT.done;
};
