/** A configuration that is not wholly understood, or cannot be had, stops the start: R39. */
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import * as net from "node:net";
import { onlyMessage, startEdge } from "../support/edge.ts";
import { startPostern } from "../support/postern.ts";
import { testIdentity } from "../support/certificates.ts";

const listener = '[[listeners]]\nname = "mx"\nlisten = "127.0.0.1:0"\n';
const upstream = '[upstreams.up]\nservers = ["127.0.0.1:1"]\n';
const route = '[[routes]]\nupstream = "up"\n';

/** The start fails and says this; a server that starts after all is stopped. */
async function refuses(toml: string, says: RegExp, prepare?: (dir: string) => Promise<void>) {
  const started = startPostern(toml, prepare === undefined ? {} : { prepare });
  await assert.rejects(started.then((postern) => postern.stop()), says);
}

describe("R39: no start with", () => {
  const wrong: readonly (readonly [string, string, RegExp])[] = [
    ["nothing to listen on", "", /listeners/],
    ["text that is no TOML", `${listener}[limits\n`, /postern\.toml:\d+:\d+/],
    ["an unknown table", `${listener}[relay]\nopen = true\n`, /relay/],
    ["an unknown key", `${listener}requiretls = true\n`, /require_tls/],
    ["a key of Object.prototype", `${listener}__proto__ = { auth = "off" }\n`, /__proto__/],
    ["a value of another kind", `${listener}require_tls = "yes"\n`, /require_tls/],
    ["an unknown value", `${listener}auth = "maybe"\n`, /auth/],
    ["a limit of nothing", `${listener}[limits]\nrecipients = 0\n`, /recipients/],
    ["a size without sense", `${listener}[limits]\nmessage_size = "-1"\n`, /message_size/],
    ["a route to nowhere", `${listener}${route}`, /up/],
    ["a route for no domain", `${listener}${upstream}[[routes]]\nto = []\nupstream = "up"\n`, /to/],
    [
      "a route for what is no domain",
      `${listener}${upstream}[[routes]]\nto = ["*"]\nupstream = "up"\n`,
      /to/,
    ],
    ["two listeners of one name", `${listener}${listener}`, /mx/],
    ["an upstream without servers", `${listener}[upstreams.up]\nservers = []\n`, /servers/],
    ["a network that is none", `${listener}xclient = ["everybody"]\n`, /xclient/],
    ["trust in a network with host bits", `${listener}xclient = ["10.0.0.1/8"]\n`, /xclient/],
    [
      "TLS asked for on a listener without it",
      `${listener}tls = "none"\nrequire_tls = true\n`,
      /tls/,
    ],
    [
      "AUTH on a listener without TLS",
      `${listener}tls = "none"\nauth = "required"\n[[plugins]]\nuse = "auth-file"\noptions = { users = "users.txt" }\n`,
      /auth|tls/,
    ],
    [
      "a certificate that is not there",
      `${listener}[[tls.certificates]]\ncert = "a.pem"\nkey = "b.pem"\n`,
      /[ab]\.pem/,
    ],
    [
      "a users file that is not there",
      `${listener}[[plugins]]\nuse = "auth-file"\noptions = { users = "nobody.txt" }\n`,
      /nobody\.txt/,
    ],
    [
      "options that a policy does not know",
      `${listener}[[plugins]]\nuse = "received"\noptions = { max_hop = 3 }\n`,
      /max_hop/,
    ],
  ];
  for (const [name, toml, says] of wrong) test(name, () => refuses(toml, says));

  test("a key that is not the certificate's", async () => {
    const [one, other] = [await testIdentity(["mx.test"]), await testIdentity(["mx.test"])];
    await refuses(
      `${listener}[[tls.certificates]]\ncert = "a.pem"\nkey = "b.pem"\n`,
      /a\.pem|b\.pem/,
      async (dir) => {
        await writeFile(`${dir}/a.pem`, one.cert);
        await writeFile(`${dir}/b.pem`, other.key);
      },
    );
  });

  test("a port in use", async () => {
    const server = net.createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as net.AddressInfo;
    try {
      await refuses(`[[listeners]]\nlisten = "127.0.0.1:${port}"\n`, /in use/);
    } finally {
      server.close();
    }
  });
});

test("two servers live in one process, each with its own", async () => {
  await using one = await startEdge({ limits: "recipients = 1" });
  await using two = await startEdge({ limits: "recipients = 2" });
  for (const edge of [one, two]) {
    await using client = await edge.greeted();
    assert.equal((await client.sendMessage({ to: "b@up.test" })).code, 250);
    await client.command("MAIL FROM:<a@client.test>", 250);
    await client.command("RCPT TO:<b@up.test>", 250);
    await client.command("RCPT TO:<c@up.test>", edge === one ? 452 : 250);
    onlyMessage(edge);
  }
});
