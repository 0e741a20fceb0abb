/**
 * Rules over the body: MIME oddities, attachments, markup, addresses of the web. Asked at the end, over what was kept of
 * the body. Every check is linear in its bounded input.
 * @module
 */
import { parseAddress } from "../shared/network.ts";
import { organisation } from "./addresses.ts";
import type { Content } from "./content.ts";
import { isAscii } from "./decode.ts";
import type { Oddity, Part } from "./mime.ts";
import type { BodyRule, Finding } from "./rule.ts";
import { parseUri, type Uri } from "./uris.ts";

/** Endings of names that a double click runs. */
const executable =
  /\.(?:ade|adp|bat|chm|cmd|com|cpl|exe|hta|ins|isp|jar|jse?|lib|lnk|mde|msc|msi|msp|mst|pif|ps1|reg|scr|sct|shb|sys|vbe?|vbs|vxd|wsc|wsf|wsh)$/i;
const diskImage = /\.(?:img|iso|udf|vhdx?|one|dmg)$/i;
const macros = /\.(?:docm|dotm|xlsm|xltm|xlam|pptm|potm|ppam|ppsm|sldm)$/i;
const document =
  /\.(?:avi|docx?|gif|jpe?g|mp3|mp4|mpe?g|pdf|png|pptx?|rtf|txt|xlsx?|zip)[\s._-]{0,200}\.[a-z0-9]{2,4}$/i;

/** Services that hide where a link leads. */
const shorteners: ReadonlySet<string> = new Set([
  "bit.ly",
  "cutt.ly",
  "goo.gl",
  "is.gd",
  "ow.ly",
  "rb.gy",
  "rebrand.ly",
  "s.id",
  "shorturl.at",
  "t.ly",
  "tiny.cc",
  "tinyurl.com",
  "v.gd",
]);

function odd(oddity: Oddity): (content: Content) => Finding {
  return ({ oddities }) => oddities.has(oddity);
}

/** The first part that fits; its name is the evidence. */
function named(fits: (part: Part) => boolean): (content: Content) => Finding {
  return ({ parts }) => {
    const part = parts.find((part) => part.name !== "" && fits(part));
    return part !== undefined && part.name.slice(0, 80);
  };
}

/** The first address that fits; its host is the evidence. */
function anyUri(fits: (uri: Uri) => boolean): (content: Content) => Finding {
  return ({ uris }) => {
    const uri = uris.find(fits);
    return uri !== undefined && (uri.host || uri.scheme).slice(0, 80);
  };
}

function markup(feature: string): (content: Content) => Finding {
  return ({ texts }) => texts.some(({ html }) => html?.features.has(feature) === true);
}

/** Programs begin with these octets, whatever their name is. */
function isProgram(octets: Uint8Array): boolean {
  const [a, b, c, d] = octets;
  return (a === 0x4d && b === 0x5a) || (a === 0x7f && b === 0x45 && c === 0x4c && d === 0x46);
}

/** Rules over the body. */
export const bodyRules: readonly BodyRule[] = [
  {
    symbol: "MIME_NO_BOUNDARY",
    points: 2,
    description: "A multipart without a boundary",
    check: odd("boundary-missing"),
  },
  {
    symbol: "MIME_NO_PARTS",
    points: 1.5,
    description: "The boundary that was told never comes",
    check: odd("no-parts"),
  },
  {
    symbol: "MIME_UNCLOSED",
    points: 0.8,
    description: "The closing boundary is missing",
    check: odd("unclosed"),
  },
  {
    symbol: "MIME_TOO_DEEP",
    points: 3,
    description: "Parts inside parts, more than eight deep",
    check: odd("too-deep"),
  },
  {
    symbol: "MIME_TOO_MANY_PARTS",
    points: 1.5,
    description: "More than a hundred parts",
    check: odd("too-many"),
  },
  {
    symbol: "MIME_BAD_ENCODING",
    points: 1.5,
    description: "An unknown transfer encoding, or an encoded multipart",
    check: odd("bad-encoding"),
  },
  {
    symbol: "MIME_BROKEN_ENCODING",
    points: 1,
    description: "A text's base64 or quoted-printable is broken",
    check: ({ texts }) => texts.some(({ broken }) => broken),
  },
  {
    symbol: "MIME_BASE64_ASCII",
    points: 1.5,
    description: "A text in plain US-ASCII hides in base64",
    check: ({ texts }) =>
      texts.some(({ part, octets, isHtml }) =>
        part.encoding === "base64" && !isHtml && octets.length > 20 &&
        isAscii(octets.subarray(0, 2000))
      ),
  },
  {
    symbol: "MIME_STRANGE_CHARSET",
    points: 1,
    description: "A text in a character set that nobody knows",
    check: ({ strangeCharset }) => strangeCharset ?? false,
  },
  {
    symbol: "MIME_RAW_8BIT",
    points: 0.5,
    description: "A text said to be US-ASCII holds 8-bit characters",
    check: ({ texts }) => texts.some(({ raw8bit }) => raw8bit),
  },
  {
    symbol: "MIME_PLAIN_IS_HTML",
    points: 1,
    description: "A text said to be plain is HTML",
    check: ({ texts }) =>
      texts.some((text) =>
        !text.isHtml && /^\s{0,100}<(?:!doctype html|html|head|body)\b/i.test(text.opening)
      ),
  },
  {
    symbol: "EMPTY_BODY",
    points: 0.8,
    description: "The body holds nothing to read, see or open",
    check: ({ parts, texts }) =>
      parts.every((part) => part.type.startsWith("text/") && !part.attached) &&
      texts.every((text) =>
        (text.isHtml || text.opening.trim() === "") && (text.html?.images ?? 0) === 0 &&
        text.text.trim() === ""
      ),
  },
  {
    symbol: "ATTACHMENT_EXECUTABLE",
    points: 4,
    description: "An attachment that a double click runs",
    check: named(({ name }) => executable.test(name.slice(-20).trimEnd())),
  },
  {
    symbol: "ATTACHMENT_DOUBLE_ENDING",
    points: 3,
    description: "An attachment whose name pretends to be a document",
    check: named(({ name }) =>
      executable.test(name.slice(-20).trimEnd()) && document.test(name.trimEnd())
    ),
  },
  {
    symbol: "ATTACHMENT_PROGRAM",
    points: 4,
    description: "An attachment is a program, whatever it is called",
    check: (content) =>
      content.parts.some((part) =>
        !part.type.startsWith("text/") && part.end > part.start &&
        isProgram(content.start(part, 4))
      ),
  },
  {
    symbol: "ATTACHMENT_DISK_IMAGE",
    points: 2,
    description: "An attachment is a disk image or a notebook, which hides programs from scanners",
    check: named(({ name }) => diskImage.test(name.slice(-20))),
  },
  {
    symbol: "ATTACHMENT_MACROS",
    points: 1.5,
    description: "An attached office document with macros",
    check: named(({ name }) => macros.test(name.slice(-20))),
  },
  {
    symbol: "ATTACHMENT_HTML",
    points: 1,
    description: "An attached page of HTML",
    check: named(({ name, attached }) =>
      attached && /\.(?:html?|shtml|xhtml|svg)$/i.test(name.slice(-20))
    ),
  },
  {
    symbol: "ATTACHMENT_NAME_HIDDEN",
    points: 3,
    description: "The name of an attachment turns its direction or hides its ending behind a gap",
    check: named(({ name }) => /[\u202a-\u202e\u2066-\u2069]|\s{10}/.test(name)),
  },
  {
    symbol: "HTML_ONLY",
    points: 0.5,
    description: "HTML without a plain text beside it",
    check: ({ texts }) => texts.length > 0 && texts.every(({ isHtml }) => isHtml),
  },
  {
    symbol: "HTML_IMAGE_ONLY",
    points: 1.5,
    description: "HTML with an image and hardly any text",
    check: ({ texts }) =>
      texts.some(({ html }) => html !== undefined && html.images > 0) &&
      texts.every((text) => text.isHtml && text.text.trim().length < 200),
  },
  {
    symbol: "HTML_SCRIPT",
    points: 1.5,
    description: "HTML with a script",
    check: markup("script"),
  },
  { symbol: "HTML_FORM", points: 1, description: "HTML with a form", check: markup("form") },
  {
    symbol: "HTML_FRAME",
    points: 1.5,
    description: "HTML with another page inside",
    check: markup("iframe"),
  },
  {
    symbol: "HTML_HIDDEN_TEXT",
    points: 1,
    description: "HTML with text that nobody sees",
    check: (content) => markup("hidden")(content) || markup("white-text")(content),
  },
  {
    symbol: "HTML_SPLIT_WORD",
    points: 1.5,
    description: "HTML whose words are cut by markup, against scanners",
    check: markup("split-word"),
  },
  {
    symbol: "HTML_BIG_FONT",
    points: 0.6,
    description: "HTML that shouts in big letters",
    check: markup("big-font"),
  },
  {
    symbol: "LINK_TEXT_DIFFERS",
    points: 2,
    description: "A link that shows one site and leads to another",
    check: ({ texts }) => {
      for (const { html } of texts) {
        for (const { href, text } of html?.links ?? []) {
          if (!/^(?:http|www)/i.test(text)) continue;
          const shown = /^(?:https?:\/\/|(?=www\.))[a-z0-9.-]{4,200}/i.exec(text)?.[0];
          if (shown === undefined) continue;
          const says = parseUri(shown.includes("://") ? shown : `http://${shown}`)?.host ?? "";
          const leads = parseUri(href);
          if (leads === undefined || leads.host === "" || !says.includes(".")) continue;
          if (organisation(says) !== organisation(leads.host)) {
            return `${says} ${leads.host}`.slice(0, 160);
          }
        }
      }
      return false;
    },
  },
  {
    symbol: "URI_IP_ADDRESS",
    points: 2,
    description: "A link to an address instead of a name",
    check: anyUri(({ host }) =>
      /^(?:0x[0-9a-f]{1,8}|[0-9]{8,10})$/.test(host) || parseAddress(host) !== undefined
    ),
  },
  {
    symbol: "URI_USERINFO",
    points: 2,
    description: "A link with a name before its host, to look like another",
    check: anyUri(({ userinfo }) => userinfo !== ""),
  },
  {
    symbol: "URI_PORT",
    points: 0.8,
    description: "A link to an unusual port",
    check: anyUri(({ port }) => port !== "" && !/^(?:80|443|8080)$/.test(port)),
  },
  {
    symbol: "URI_ENCODED_HOST",
    points: 2,
    description: "A link whose host is percent-encoded or not US-ASCII",
    check: anyUri(({ host }) => /%|[^\x00-\x7f]/.test(host)),
  },
  {
    symbol: "URI_DEEP_HOST",
    points: 0.8,
    description: "A link to a host of six labels or more",
    check: anyUri(({ host }) => host.split(".").length >= 6 && parseAddress(host) === undefined),
  },
  {
    symbol: "URI_SHORTENER",
    points: 0.8,
    description: "A link by a service that hides where it leads",
    check: anyUri(({ host }) => shorteners.has(host)),
  },
  {
    symbol: "URI_SCRIPT",
    points: 2.5,
    description: "A link that is a script or a page in itself",
    check: anyUri(({ scheme, path }) =>
      scheme === "javascript" || scheme === "vbscript" ||
      (scheme === "data" && /^(?:text\/html|application\/xhtml|image\/svg)/i.test(path))
    ),
  },
];
