/**
 * `postern version`.
 * @module
 */
import process from "node:process";
import { VERSION } from "../version.ts";
import type { Run } from "./io.ts";
import { EXIT } from "./errors.ts";
import type { versionSpec } from "./specs.ts";

export const run: Run<typeof versionSpec> = (_input, io) => {
  io.stdout(`postern ${VERSION} (${runtime()}, ${process.platform} ${process.arch})\n`);
  return EXIT.done;
};

function runtime(): string {
  const versions: Readonly<Record<string, string | undefined>> = process.versions;
  if (versions.bun !== undefined) return `Bun ${versions.bun}`;
  if (versions.deno !== undefined) return `Deno ${versions.deno}`;
  return `Node ${versions.node}`;
}
