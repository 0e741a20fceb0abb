/**
 * The rules as data: symbol, points, what it says, when it is asked, and how it is found out.
 *
 * A check answers true, or text that is shown in the trace as evidence. Every check is linear in its bounded input.
 * Points are a starting position for a mail exchanger on the Internet; `weights` in the options moves them.
 * @module
 */
import { parseAddress } from "../shared/network.ts";
import { domainOf, isAddress, organisation, parseAddresses } from "./addresses.ts";
import type { Envelope, Message } from "./message.ts";
import { decodeWords } from "./words.ts";

interface Row {
  /** `[A-Z0-9_]`. */
  readonly symbol: string;
  readonly points: number;
  readonly description: string;
  /** Asked of strangers only: mail programs of authenticated users leave such things to us. */
  readonly strangers?: true;
}

/** What a check answers. */
export type Finding = boolean | string;

/** A rule over HELO and envelope, asked at DATA. */
export interface EnvelopeRule extends Row {
  readonly check: (facts: Envelope) => Finding;
}

/** A rule over the header block. */
export interface HeaderRule extends Row {
  readonly check: (message: Message) => Finding;
}

const day = 86_400_000;

/** Fields that may stand only once (RFC 5322 section 3.6). */
const singletons = ["from", "date", "message-id", "subject", "to", "cc", "reply-to", "sender"];

/** Providers where anybody gets an address in a minute. */
const freeMail: ReadonlySet<string> = new Set([
  "aol.com",
  "gmail.com",
  "gmx.com",
  "gmx.de",
  "gmx.net",
  "googlemail.com",
  "hotmail.com",
  "icloud.com",
  "inbox.ru",
  "libero.it",
  "list.ru",
  "live.com",
  "mail.com",
  "mail.ru",
  "msn.com",
  "outlook.com",
  "proton.me",
  "protonmail.com",
  "qq.com",
  "rambler.ru",
  "tutanota.com",
  "web.de",
  "yahoo.co.uk",
  "yahoo.com",
  "yandex.com",
  "yandex.ru",
  "zoho.com",
  "126.com",
  "163.com",
]);

function isLiteral(helo: string): boolean {
  return helo.startsWith("[");
}

function isLocal(helo: string): boolean {
  return /^localhost(?:\.|$)|\.(?:local|localdomain|lan|internal)$/i.test(helo);
}

/** Rules over HELO and envelope. */
export const envelopeRules: readonly EnvelopeRule[] = [
  {
    symbol: "HELO_BARE_IP",
    points: 2,
    strangers: true,
    description: "HELO is an IP address without brackets",
    check: ({ session }) => parseAddress(session.helo) !== undefined,
  },
  {
    symbol: "HELO_LITERAL",
    points: 0.8,
    strangers: true,
    description: "HELO is an address literal, not a name",
    check: ({ session }) => isLiteral(session.helo),
  },
  {
    symbol: "HELO_LITERAL_FORGED",
    points: 2,
    strangers: true,
    description: "HELO is an address literal of another address",
    check: ({ session }) => {
      if (!isLiteral(session.helo)) return false;
      const claimed = parseAddress(session.helo.slice(1, -1).replace(/^ipv6:/i, ""));
      return claimed?.join() !== parseAddress(session.remote.address)?.join();
    },
  },
  {
    symbol: "HELO_IS_US",
    points: 4,
    strangers: true,
    description: "HELO is our own host name",
    check: ({ session }) => session.helo.toLowerCase() === session.hostname.toLowerCase(),
  },
  {
    symbol: "HELO_LOCAL_NAME",
    points: 2,
    strangers: true,
    description: "HELO is localhost or a name of a private network",
    check: ({ session }) => isLocal(session.helo),
  },
  {
    symbol: "HELO_NO_DOT",
    points: 1.5,
    strangers: true,
    description: "HELO is a name without a domain",
    check: ({ session: { helo } }) =>
      !helo.includes(".") && !isLiteral(helo) && !isLocal(helo) && parseAddress(helo) === undefined,
  },
  {
    symbol: "HELO_BAD_NAME",
    points: 1.5,
    strangers: true,
    description: "HELO holds characters that no host name has",
    check: ({ session: { helo } }) =>
      helo !== "" && !isLiteral(helo) && !/^[A-Za-z0-9._-]+$/.test(helo) &&
      parseAddress(helo) === undefined,
  },
  {
    symbol: "NULL_SENDER_MANY_RECIPIENTS",
    points: 3,
    description: "The null reverse-path with several recipients: a bounce has one",
    check: ({ tx }) => tx.from === null && tx.recipients.length > 1 && String(tx.recipients.length),
  },
  {
    symbol: "MANY_RECIPIENTS",
    points: 0.5,
    description: "Fifty recipients or more in one transaction",
    check: ({ tx }) => tx.recipients.length >= 50 && String(tx.recipients.length),
  },
  {
    symbol: "SENDER_NO_DOT",
    points: 2,
    strangers: true,
    description: "The domain of the reverse-path has no dot",
    check: ({ tx: { from } }) =>
      from !== null && !from.domain.includes(".") && !isLiteral(from.domain),
  },
  {
    symbol: "SENDER_IS_RECIPIENT",
    points: 0.8,
    strangers: true,
    description: "The reverse-path is the only recipient",
    check: ({ tx: { from, recipients } }) =>
      from !== null && recipients.length === 1 &&
      from.address.toLowerCase() === recipients[0]!.address.toLowerCase(),
  },
];

/** Rules over the header block. */
export const headerRules: readonly HeaderRule[] = [
  {
    symbol: "MISSING_FROM",
    points: 2.5,
    description: "No From field",
    check: (message) => message.count("from") === 0,
  },
  {
    symbol: "BAD_FROM",
    points: 2,
    description: "The From field holds no address",
    check: (message) =>
      message.count("from") > 0 && !message.from.some(({ address }) => isAddress(address)),
  },
  {
    symbol: "DUPLICATE_FIELD",
    points: 2.5,
    description: "A field that may stand once stands several times",
    check: (message) => singletons.filter((name) => message.count(name) > 1).join(" ") || false,
  },
  {
    symbol: "FROM_SEVERAL",
    points: 1.5,
    description: "Several addresses in From, and no Sender",
    check: (message) => message.from.length > 1 && message.count("sender") === 0,
  },
  {
    symbol: "FROM_NAME_ADDRESS",
    points: 2.5,
    description: "The display name of From holds another address",
    check: (message) =>
      message.from.some(({ name, address }) => {
        const claimed = /[^\s<>"'()@]{1,64}@([A-Za-z0-9.-]{1,255}\.[A-Za-z]{2,63})/.exec(
          decodeWords(name).slice(0, 320),
        );
        return claimed !== null &&
          organisation(claimed[1]!.toLowerCase()) !== organisation(domainOf(address));
      }),
  },
  {
    symbol: "FROM_ENVELOPE_DIFFER",
    points: 0.5,
    strangers: true,
    description:
      "From and reverse-path belong to different organisations, and it is no mailing list",
    check: (message) => {
      const { from } = message.tx;
      const author = domainOf(message.from[0]?.address ?? "");
      if (from === null || author === "" || message.count("list-id") > 0) return false;
      return organisation(author) !== organisation(from.domain);
    },
  },
  {
    symbol: "REPLY_TO_FREEMAIL",
    points: 2,
    description: "Answers go to a free-mail address, From is elsewhere",
    check: (message) => {
      const reply = domainOf(parseAddresses(message.get("reply-to") ?? "")[0]?.address ?? "");
      const author = domainOf(message.from[0]?.address ?? "");
      return freeMail.has(reply) && author !== "" && author !== reply;
    },
  },
  {
    symbol: "MISSING_DATE",
    points: 1.5,
    strangers: true,
    description: "No Date field",
    check: (message) => message.count("date") === 0,
  },
  {
    symbol: "BAD_DATE",
    points: 1.5,
    description: "The Date field holds no date",
    check: (message) => message.count("date") > 0 && message.date === undefined,
  },
  {
    symbol: "DATE_IN_FUTURE",
    points: 2.5,
    description: "Date is more than a day ahead",
    check: (message) => (message.date ?? 0) > message.now + day,
  },
  {
    symbol: "DATE_IN_PAST",
    points: 1.5,
    description: "Date is more than a year ago",
    check: (message) => (message.date ?? Infinity) < message.now - 365 * day,
  },
  {
    symbol: "MISSING_MESSAGE_ID",
    points: 1,
    strangers: true,
    description: "No Message-ID field",
    check: (message) => message.count("message-id") === 0,
  },
  {
    symbol: "BAD_MESSAGE_ID",
    points: 1,
    description: "Message-ID is not of the form <left@right>",
    check: (message) =>
      message.count("message-id") > 0 &&
      !/^<[^<>@\s]+@[^<>@\s]+>$/.test(message.get("message-id")!.trim()),
  },
  {
    symbol: "MISSING_SUBJECT",
    points: 0.8,
    description: "No Subject, or an empty one",
    check: (message) => message.subject.trim() === "",
  },
  {
    symbol: "SUBJECT_ALL_CAPS",
    points: 1.2,
    description: "The subject shouts",
    check: ({ subject }) => {
      if (/[a-z]/.test(subject.slice(0, 200)) || !/\S\s+\S/.test(subject.slice(0, 200))) {
        return false;
      }
      let letters = 0;
      for (const char of subject.slice(0, 200)) {
        const upper = char.toUpperCase();
        if (upper === char.toLowerCase()) continue;
        if (char !== upper) return false;
        letters++;
      }
      return letters >= 10;
    },
  },
  {
    symbol: "SUBJECT_PUNCTUATION",
    points: 1,
    description: "The subject is full of !, ? and $",
    check: ({ subject }) => {
      let marks = 0;
      for (let i = Math.min(subject.length, 200) - 1; i >= 0; i--) {
        const char = subject[i];
        if (char === "!" || char === "?" || char === "$") marks++;
      }
      return marks >= 4;
    },
  },
  {
    symbol: "SUBJECT_FAKE_REPLY",
    points: 0.8,
    strangers: true,
    description: "The subject says Re:, but the message answers none",
    check: (message) =>
      /^re:/i.test(message.subject) && message.count("in-reply-to") === 0 &&
      message.count("references") === 0,
  },
  {
    symbol: "UNDISCLOSED_RECIPIENTS",
    points: 0.8,
    strangers: true,
    description: "Nobody is named in To and Cc",
    check: (message) => {
      if (message.count("cc") > 0) return false;
      const to = message.get("to") ?? "";
      return to.trim() === "" || /undisclosed[ -]recipients?/i.test(to.slice(0, 200));
    },
  },
  {
    symbol: "MIME_WITHOUT_VERSION",
    points: 0.8,
    description: "Content-Type without MIME-Version",
    check: (message) => message.count("content-type") > 0 && message.count("mime-version") === 0,
  },
  {
    symbol: "NO_TRACE_OF_ORIGIN",
    points: 1,
    strangers: true,
    description: "Neither Received, nor a mail program, nor a signature: sent straight by a script",
    check: (message) =>
      message.count("received") + message.count("x-mailer") + message.count("user-agent") +
          message.count("dkim-signature") + message.count("mime-version") === 0,
  },
  {
    symbol: "RAW_8BIT_HEADER",
    points: 1.5,
    description: "Text beyond US-ASCII in the header without SMTPUTF8",
    check: (message) => message.raw8bit && message.tx.params.smtputf8 !== true,
  },
  {
    symbol: "LONG_FIELD",
    points: 1,
    description: "A header field of more than 8,000 characters",
    check: (message) => message.longestField > 8000 && String(message.longestField),
  },
];

/** The rule over the body. */
export const bodyRule: Row = {
  symbol: "GTUBE",
  points: 1000,
  description: "The body holds the generic test string for unsolicited bulk mail",
};

/** Every rule. */
export const allRules: readonly Row[] = [...envelopeRules, ...headerRules, bodyRule];
