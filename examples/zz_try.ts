import { parseCommand } from "@postern/postern/wire";
import { run } from "@postern/postern";
console.log(parseCommand("NOOP"), typeof run);
