import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { runPlugin, testServer } from "@postern/postern/testing";
import * as disclaimer from "./disclaimer.ts";

const text = "Example Ltd\n1 Main Street";
const identity = { user: "anna", mechanism: "PLAIN" };

/** What goes behind the body of a message with this header. */
async function appended(header: string, options: unknown, more = {}): Promise<string> {
  const plugin = await runPlugin(disclaimer, { options, session: { identity }, ...more });
  await plugin.mail("anna@Example.org");
  await plugin.header(header);
  return (await plugin.body("Hi\r\n")).text.slice("Hi\r\n".length);
}

const ascii = { texts: { "example.org": text } };
const german = { texts: { "EXAMPLE.org": "Grüße = Küsse ".repeat(8) } };
const plain = "\r\nExample Ltd\r\n1 Main Street\r\n";

describe("what can be appended to", () => {
  for (
    const header of [
      "Subject: x",
      "Content-Type: text/plain",
      'Content-Type: TEXT/PLAIN; format=flowed; charset="UTF-8"\nContent-Transfer-Encoding: 8bit',
      "Content-Type: text/plain; charset=iso-8859-15\nContent-Transfer-Encoding: Quoted-Printable",
    ]
  ) test(header, async () => assert.equal(await appended(header, ascii), plain));

  test("UTF-8 as it is, and in quoted-printable lines of at most 76", async () => {
    const type = "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding:";
    const octets = new TextEncoder().encode(`\r\n${german.texts["EXAMPLE.org"].trim()}\r\n`);
    const latin1 = String.fromCharCode(...octets);
    assert.equal(await appended(`${type} 8bit`, german), latin1);
    const quoted = await appended(`${type} quoted-printable`, german);
    assert.ok(quoted.split("\r\n").every((line) => line.length <= 76));
    const decoded = quoted.replace(/=\r\n/g, "")
      .replace(/=([0-9A-F]{2})/g, (_, hex) => String.fromCharCode(parseInt(hex, 16)));
    assert.equal(decoded, latin1);
  });
});

describe("what is left alone, and counted", () => {
  for (
    const [header, options] of [
      ["Content-Type: text/html", ascii],
      ["Content-Type: text/plainer", ascii],
      ["Content-Type: multipart/mixed; boundary=x", ascii],
      ["Content-Type: multipart/signed; boundary=x", ascii],
      ["Content-Type: text/plain; charset=utf-16", ascii],
      ["Content-Transfer-Encoding: base64", ascii],
      ["DKIM-Signature: v=1; d=example.org", ascii],
      ["Subject: no charset", german],
      ["Content-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: 8bit", german],
    ] as const
  ) {
    test(header, async () => {
      const plugin = await runPlugin(disclaimer, { options, session: { identity } });
      await plugin.mail("anna@example.org");
      await plugin.header(header);
      assert.equal((await plugin.body("Hi\r\n")).text, "Hi\r\n");
      assert.equal(plugin.counts.get("skipped"), 1);
    });
  }

  test("other domains, null reverse-paths, and clients without a login", async () => {
    assert.equal(await appended("Subject: x", { texts: { "constructor": "x" } }), "");
    assert.equal(await appended("Subject: x", ascii, { session: {} }), "");
  });
});

test("on its way upstream: stuffed, behind a last line without an end, one message after the other", async () => {
  await using server = await testServer({
    ...disclaimer,
    // A login without a password: what is tested is what follows it.
    default: (edge, options) => {
      const { hooks, ...rest } = disclaimer.default(edge, options);
      const auth = {
        mechanisms: ["PLAIN"] as const,
        verify: ({ user, mechanism }: { user: string; mechanism: string }) => ({ user, mechanism }),
      };
      return { ...rest, hooks: { ...hooks, auth } };
    },
  }, {
    options: { texts: { "example.org": ".dots\n..more" } },
    config: { listeners: [{ name: "mx", listen: "127.0.0.1:25", auth: "optional" }] },
  });
  const client = await server.connect();
  await client.expect("220 *");
  await client.ehlo();
  await client.starttls();
  await client.ehlo();
  const send = async (from: string) => {
    assert.equal((await client.sendMessage({ from, to: "b@c.test" })).code, 250);
    return server.upstream.messages.at(-1)!.text;
  };
  const untouched = "Subject: Hello\r\n\r\nHello\r\n";
  assert.equal(await send("anna@example.org"), untouched);
  assert.equal((await client.login("anna", "x")).code, 235);
  assert.equal(await send("anna@example.org"), `${untouched}\r\n.dots\r\n..more\r\n`);
  assert.equal(await send("anna@elsewhere.test"), untouched);
  await client.command("MAIL FROM:<anna@example.org>", "250 *");
  await client.command("RCPT TO:<b@c.test>", "250 *");
  await client.sendRaw("BDAT 18 LAST\r\nSubject: x\r\n\r\nhalf");
  await client.expect("250 *");
  assert.equal(
    server.upstream.messages.at(-1)!.text,
    "Subject: x\r\n\r\nhalf\r\n.dots\r\n..more\r\n",
  );
});

test("options", async () => {
  await assert.rejects(runPlugin(disclaimer, { options: {} }), /options\.texts: expected a table/);
  await assert.rejects(
    runPlugin(disclaimer, { options: { texts: { "a.test": "" } } }),
    /options\.texts\.a\.test: expected a text/,
  );
});
