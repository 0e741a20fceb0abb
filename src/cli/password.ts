/**
 * Asks for a password, a new one or one's own. It comes from a terminal without echo, or from standard input: never from the command line,
 * where every process of the machine could read it.
 * @module
 */
import { visible } from "../settings/problem.ts";
import { CliError, UsageError } from "./errors.ts";
import type { CliIo } from "./io.ts";

/** The first line of standard input. */
export async function passwordFromStdin(io: CliIo): Promise<string> {
  let line: string | undefined;
  try {
    line = await io.stdin.readLine();
  } catch (error) {
    if (error instanceof TypeError) throw new CliError("The password is not valid UTF-8");
    throw error;
  }
  if (line === undefined) throw new CliError("No password on standard input");
  return checked(line);
}

/** Asks twice. `command` is for the error where there is no terminal to ask on. */
export async function askNewPassword(io: CliIo, name: string, command: string): Promise<string> {
  if (!io.isTerminal("stdin")) {
    throw new UsageError("No terminal to ask for the password, use --password-stdin", command);
  }
  const first = await ask(io, `New password for ${name}: `);
  checked(first);
  const second = await ask(io, "The same again: ");
  if (first !== second) throw new CliError("The passwords differ, nothing is changed");
  return first;
}

/** Asks once, for a login elsewhere. */
export async function askPassword(io: CliIo, name: string, command: string): Promise<string> {
  if (!io.isTerminal("stdin")) {
    throw new UsageError("No terminal to ask for the password, use --password-stdin", command);
  }
  return checked(await ask(io, `Password for ${visible(name)}: `));
}

async function ask(io: CliIo, prompt: string): Promise<string> {
  io.stderr(prompt);
  const secret = await io.stdin.readSecret();
  io.stderr("\n");
  if (secret === undefined) throw new CliError("Cancelled, nothing is done");
  return secret;
}

function checked(password: string): string {
  if (password === "") throw new CliError("The password is empty");
  // NUL ends a password in AUTH PLAIN (RFC 4616 section 2): a client could never send this one.
  if (password.includes("\0")) throw new CliError("The password holds a NUL");
  return password;
}
