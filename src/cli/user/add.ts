/**
 * `postern user add NAME`.
 * @module
 */
import * as path from "node:path";
import { passwords } from "../../pipeline/passwords.ts";
import { formatScram, scramSecret } from "../../pipeline/scram.ts";
import { quote } from "../../settings/problem.ts";
import { CliError, EXIT } from "../errors.ts";
import { readText, replaceFile } from "../files.ts";
import type { Run } from "../io.ts";
import { withSpinner } from "../output.ts";
import { askNewPassword, passwordFromStdin } from "../password.ts";
import type { userAddSpec } from "../specs.ts";
import { nameProblem, setUser } from "./file.ts";

export const run: Run<typeof userAddSpec> = async ({ flags, words: { name } }, io) => {
  const problem = nameProblem(name);
  if (problem !== undefined) {
    throw new CliError(`Cannot use the name ${quote(name)}: ${problem}`, EXIT.usage);
  }
  const password = flags["password-stdin"]
    ? await passwordFromStdin(io)
    : await askNewPassword(io, name, "user add");
  const hash = await withSpinner(
    io,
    "Hashing",
    () => flags.scram ? scramHash(password) : passwords.hash(password),
  );
  const file = path.resolve(io.cwd, flags.file);
  const { text, replaced } = setUser(await readText(file) ?? "", name, hash);
  await replaceFile(file, text, 0o600);
  io.stdout(
    replaced
      ? `Changed the password of ${name} in ${flags.file}\n`
      : `Added ${name} to ${flags.file}\n`,
  );
  return EXIT.done;
};

async function scramHash(password: string): Promise<string> {
  const secret = await scramSecret(password);
  if (secret === undefined) {
    throw new CliError("The password holds a character that SASLprep (RFC 4013) does not allow");
  }
  return formatScram(secret);
}
