/**
 * Postfix as a client: a message is put into the queue of a private Postfix, and its smtp(8) brings it to Postern. Which
 * listener it goes to, and how, follows from the domain of the sender.
 * @module
 */
import { SmtpClient } from "../support/smtp_client.ts";
import type { Client, ClientContext, Sender } from "./clients.ts";
import { postfixMissing, postfixVersion, startPostfix } from "./postfix.ts";
import type { Entrance } from "./stage.ts";

/** smtp(8), of a Postfix that is started for it. */
export const postfixClient: Client = {
  missing: postfixMissing,
  version: postfixVersion,
  start,
};

async function start({ dir, entrances }: ClientContext): Promise<Sender> {
  const caFile = entrances[0]?.caFile ?? "";
  const postfix = await startPostfix({
    dir: `${dir}/client`,
    ports: 1,
    configure: ([port]) => ({
      main: [
        `sender_dependent_default_transport_maps = inline:{ ${
          entrances.map(({ name, port }) =>
            `{ @${name}.client.test = ${name}:[127.0.0.1]:${port} }`
          )
            .join(", ")
        } }`,
        `smtp_sasl_password_maps = inline:{ ${
          entrances.filter(({ auth }) => auth !== undefined)
            .map(({ port, auth }) => `{ [127.0.0.1]:${port} = ${auth?.user}:${auth?.password} }`)
            .join(", ")
        } }`,
        "smtp_sasl_security_options = noanonymous",
        "smtp_sasl_tls_security_options = noanonymous",
        `smtp_tls_CAfile = ${caFile}`,
        "smtp_tls_secure_cert_match = localhost",
        "minimal_backoff_time = 1s",
      ],
      master: [`127.0.0.1:${port} inet n - n - - smtpd`, ...entrances.map(service)],
    }),
  });
  return {
    async send({ to, kind, content }, { name }) {
      await using client = await SmtpClient.connect(postfix.ports[0] ?? 0);
      await client.expect(220);
      await client.ehlo();
      const reply = await client.sendMessage({
        from: `sender@${name}.client.test`,
        to,
        content,
        params: `${kind.eightBit ? " BODY=8BITMIME" : ""}${kind.utf8 ? " SMTPUTF8" : ""}`,
      });
      const queueId = /queued as (\w+)/.exec(reply.text)?.[1];
      if (queueId === undefined) throw new Error(`Postfix has not queued: ${reply.text}`);
      await client.quit();
      await postfix.sent(queueId);
    },
    close: () => postfix[Symbol.asyncDispose](),
  };
}

/** A line of master.cf: smtp(8) for one listener. */
function service({ name, transport, auth }: Entrance): string {
  const options = [
    `smtp_tls_security_level=${transport === "plain" ? "none" : "secure"}`,
    `smtp_tls_wrappermode=${transport === "implicit TLS" ? "yes" : "no"}`,
    `smtp_sasl_auth_enable=${auth === undefined ? "no" : "yes"}`,
    "smtp_helo_name=client.test",
  ];
  return `${name} unix - - n - - smtp ${options.map((option) => `-o ${option}`).join(" ")}`;
}
