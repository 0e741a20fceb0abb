/**
 * Appends a text to messages that people of a domain send after they have logged in.
 *
 * Only what can be appended to safely is touched: a message that is one part of `text/plain` in 7bit, 8bit or
 * quoted-printable, whose charset can hold the text. Left alone, and counted as `skipped`: multipart and HTML messages,
 * base64, charsets that are no superset of ASCII, a text beyond ASCII where the charset is not UTF-8, and what is signed or
 * encrypted (DKIM, ARC, S/MIME, PGP), for another body breaks the signature. So sign behind this plugin, not before it.
 *
 * ```toml
 * [[plugins]]
 * use = "./plugins/disclaimer.ts"
 * options = { texts = { "example.org" = "Example Ltd, 1 Main Street" } }
 * ```
 *
 * Options: `texts`, by the domain of the reverse-path. A reply that quotes the text gets it again. Cost: a message it
 * appends to is unstuffed and stuffed again, and cannot be passed on as it came; so can no other while the plugin is
 * loaded. On failure: `pass`.
 */
import type {
  HeaderView,
  Manifest,
  OptionsSchema,
  PluginModule,
  TransactionFacts,
} from "@postern/postern/plugin";

interface Options {
  readonly texts: { readonly [domain: string]: string };
}

export const manifest: Manifest = { version: "1.0.0" };

export const options: OptionsSchema = {
  "~standard": {
    version: 1,
    vendor: "disclaimer",
    validate(value) {
      const { texts, ...rest } = value as Partial<Options>;
      const issues: { message: string; path: string[] }[] = Object.keys(rest)
        .map((key) => ({ message: "unknown key", path: [key] }));
      const isTable = typeof texts === "object" && texts !== null && !Array.isArray(texts);
      if (!isTable) {
        issues.push({ message: "expected a table of texts by domain", path: ["texts"] });
      }
      for (const [domain, text] of Object.entries(isTable ? texts : {})) {
        if (typeof text === "string" && text.trim() !== "" && text.length <= 10_000) continue;
        issues.push({ message: "expected a text", path: ["texts", domain] });
      }
      return issues.length > 0 ? { issues } : { value: { texts } };
    },
  },
};

export default ((edge, { texts }: Options) => {
  const byDomain = new Map(
    Object.entries(texts).map(([domain, text]) => [domain.toLowerCase(), linesOf(text)]),
  );
  const appended = new WeakMap<TransactionFacts, Uint8Array>();
  return {
    name: "disclaimer",
    onError: "pass",
    hooks: {
      header(header, { tx }) {
        if (tx.session.identity === undefined || tx.from === null) return;
        const text = byDomain.get(tx.from.domain.toLowerCase());
        if (text === undefined) return;
        const octets = encoded(text, header);
        if (octets !== undefined) appended.set(tx, octets);
        edge.metrics.count(octets === undefined ? "skipped" : "appended");
      },
      body: { flush: ({ tx }) => appended.get(tx) },
    },
  };
}) satisfies PluginModule<Options>;

/** Behind an empty line; the first CRLF also ends a last line that has no end. */
function linesOf(text: string): string {
  return `\r\n${text.trim().replace(/\r?\n/g, "\r\n")}\r\n`;
}

const SEALS = ["DKIM-Signature", "ARC-Seal", "X-Google-DKIM-Signature"];
const CHARSETS = /^(?:us-ascii|utf-8|iso-8859-\d{1,2}|windows-125\d)$/;

/** The text as this message can hold it; undefined where it cannot. */
function encoded(text: string, header: HeaderView): Uint8Array | undefined {
  if (SEALS.some((name) => header.get(name) !== undefined)) return undefined;
  const type = (header.get("Content-Type") ?? "text/plain").slice(0, 1_000).toLowerCase();
  if (!/^text\/plain *(?:;|$)/.test(type)) return undefined;
  const charset = /; *charset *= *"?([^\s";]+)/.exec(type)?.[1] ?? "us-ascii";
  const isAscii = /^[\x00-\x7f]*$/.test(text);
  if (!CHARSETS.test(charset) || (!isAscii && charset !== "utf-8")) return undefined;
  const octets = new TextEncoder().encode(text);
  switch ((header.get("Content-Transfer-Encoding") ?? "7bit").trim().toLowerCase()) {
    case "7bit":
      return isAscii ? octets : undefined;
    case "8bit":
      return octets;
    case "quoted-printable":
      return new TextEncoder().encode(quotedPrintable(octets));
    default:
      return undefined;
  }
}

/** RFC 2045 section 6.7: lines of at most 76 characters, no white space at their end. */
function quotedPrintable(octets: Uint8Array): string {
  let text = "";
  let width = 0;
  for (const [at, octet] of octets.entries()) {
    if (octet === 0x0d) continue;
    if (octet === 0x0a) {
      text += "\r\n";
      width = 0;
      continue;
    }
    const atEnd = octets[at + 1] === 0x0d;
    const plain = octet > 0x20 && octet < 0x7f && octet !== 0x3d || octet === 0x20 && !atEnd;
    const part = plain
      ? String.fromCharCode(octet)
      : `=${octet.toString(16).toUpperCase().padStart(2, "0")}`;
    if (width + part.length > 75) {
      text += "=\r\n";
      width = 0;
    }
    text += part;
    width += part.length;
  }
  return text;
}
