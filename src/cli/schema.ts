/**
 * `postern schema`.
 * @module
 */
import { jsonSchema } from "../settings/reference.ts";
import { EXIT } from "./errors.ts";
import type { Run } from "./io.ts";
import type { schemaSpec } from "./specs.ts";

export const run: Run<typeof schemaSpec> = (_input, io) => {
  io.stdout(`${JSON.stringify(jsonSchema(), null, 2)}\n`);
  return EXIT.done;
};
