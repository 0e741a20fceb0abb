/**
 * Every dialogue of this folder, on every transport it makes sense on, in packets of 1, 2, 3, 7 octets and whole.
 *
 * The format is told in `docs/dialogues.md`. Users files `users.txt` and `scram.txt` are there: `anna`, with
 * `correct horse`; and `keys.json`, the public key of the tokens in `auth_oauth.dialogue`;
 * and the plugin `judge.ts` of this folder.
 * On the network in memory the server's side is cut too, and only the client's connection is in memory: the upstream is real.
 */
import { describe, test } from "node:test";
import { readdirSync, readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { passwords } from "../../src/pipeline/passwords.ts";
import { formatScram, scramSecret } from "../../src/pipeline/scram.ts";
import { systemNetwork } from "../../src/runtime/system_net.ts";
import { transportsOf } from "../../src/testing/dialogue/config.ts";
import { parseDialogue } from "../../src/testing/dialogue/parse.ts";
import { memoryNetwork } from "../../src/transport/memory.ts";
import { runDialogue } from "../support/dialogue_run.ts";
import { startPostern, type TestOptions } from "../support/postern.ts";

const folder = new URL("./", import.meta.url);
const splits = [1, 2, 3, 7, undefined];
const users = `anna:${await passwords.hash("correct horse")}\n`;
const judge = readFileSync(new URL("judge.ts", folder), "utf8");
const secret = await scramSecret("correct horse", undefined, 4096);
const keys = {
  keys: [{
    kty: "OKP",
    crv: "Ed25519",
    x: "PBMX1kGwUAMA1Yf77OkO0RS1_bTc5cq3ZoBv1XWkOL0",
    kid: "dialogue",
    alg: "EdDSA",
    use: "sig",
  }],
};
const prepare = async (dir: string): Promise<void> => {
  await writeFile(`${dir}/users.txt`, users);
  await writeFile(`${dir}/scram.txt`, `anna:${formatScram(secret!)}\n`);
  await writeFile(`${dir}/keys.json`, JSON.stringify(keys));
  await writeFile(`${dir}/judge.ts`, judge);
};

for (const file of readdirSync(folder).filter((name) => name.endsWith(".dialogue")).sort()) {
  const dialogue = parseDialogue(file, readFileSync(new URL(file, folder), "utf8"));
  describe(file.replace(".dialogue", "").replaceAll("_", " "), () => {
    for (const transport of transportsOf(dialogue)) {
      for (const split of splits) {
        test(`${transport}, packets of ${split ?? "all"}`, async () => {
          const start = (options: TestOptions) => (toml: string) =>
            startPostern(toml, { prepare, ...options });
          if (transport === "memory") {
            const network = memoryNetwork(split === undefined ? {} : { split });
            const { connect } = systemNetwork();
            await runDialogue(dialogue, {
              network,
              start: start({ network: { ...network, connect } }),
            });
            return;
          }
          await runDialogue(dialogue, {
            transport: transport === "tls" ? "tls" : "tcp",
            start: start({}),
            ...(split === undefined ? {} : { split }),
          });
        });
      }
    }
  });
}
