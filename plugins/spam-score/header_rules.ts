/**
 * Rules over the header block. A check answers true, or text that is shown in the trace as evidence. Every check is
 * linear in its bounded input.
 * @module
 */
import { domainOf, isAddress, organisation, parseAddresses } from "./addresses.ts";
import { parseDate } from "./dates.ts";
import type { HeaderRule } from "./rule.ts";
import { decodeWords } from "./words.ts";

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
    symbol: "FROM_NO_DOT",
    points: 1.5,
    strangers: true,
    description: "The domain of From has no dot",
    check: (message) => {
      const domain = domainOf(message.from[0]?.address ?? "");
      return domain !== "" && !domain.includes(".") && !domain.startsWith("[");
    },
  },
  {
    symbol: "FROM_LOCAL_DIGITS",
    points: 0.6,
    strangers: true,
    description: "The local part of From ends in four digits or more",
    check: (message) => /[0-9]{4}@/.test(message.from[0]?.address.slice(0, 320) ?? ""),
  },
  {
    symbol: "FROM_IS_TO",
    points: 1.2,
    strangers: true,
    description: "From and To are the same address",
    check: (message) => {
      const from = message.from[0]?.address.toLowerCase() ?? "";
      return from.includes("@") &&
        parseAddresses(message.get("to") ?? "")[0]?.address.toLowerCase() === from;
    },
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
    symbol: "DATE_WRONG_WEEKDAY",
    points: 1.5,
    description: "The weekday of Date is not that day's: the date was made up",
    check: (message) => message.sent?.wrongWeekday === true,
  },
  {
    symbol: "DATE_BAD_ZONE",
    points: 2.5,
    description: "Date tells a time zone that is nowhere",
    check: (message) => message.sent?.strangeZone === true,
  },
  {
    symbol: "DATE_RECEIVED_DIFFER",
    points: 1.2,
    description: "Date is more than a day after, or four days before, the first Received field",
    check: (message) => {
      const received = message.last("received") ?? "";
      const semicolon = received.lastIndexOf(";");
      if (semicolon < 0 || message.date === undefined) return false;
      const taken = parseDate(received.slice(semicolon + 1));
      return taken !== undefined && (message.date > taken + day || message.date < taken - 4 * day);
    },
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
    symbol: "MESSAGE_ID_LOCAL",
    points: 0.2,
    strangers: true,
    description: "Message-ID was made by localhost or a name without a domain",
    check: (message) => {
      const right = /@([^<>@\s]{1,255})>/.exec(message.get("message-id") ?? "")?.[1] ?? "";
      return right !== "" &&
        (!right.includes(".") || /^localhost\.|\.localdomain$/i.test(right));
    },
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
    symbol: "SUBJECT_GAP",
    points: 2,
    description: "The subject has a code behind a wide gap",
    check: ({ subject }) => /\s{6}\S{1,20}\s{0,3}$/.test(subject.slice(-200)),
  },
  {
    symbol: "SUBJECT_MONEY",
    points: 0.8,
    description: "The subject speaks of an amount of money",
    check: ({ subject }) => /[$€£] ?[0-9]|\${2}/.test(subject.slice(0, 200)),
  },
  {
    symbol: "SUBJECT_NEEDLESS_ENCODING",
    points: 0.5,
    description: "The subject is encoded, but is plain US-ASCII",
    check: (message) =>
      /=\?[^?]{1,40}\?b\?/i.test(message.get("subject")?.slice(0, 200) ?? "") &&
      !/[^\x00-\x7f]/.test(message.subject),
  },
  {
    symbol: "SUBJECT_FAKE_REPLY",
    points: 0.4,
    strangers: true,
    description: "The subject says Re:, but the message answers none",
    check: (message) =>
      /^re:/i.test(message.subject) && message.count("in-reply-to") === 0 &&
      message.count("references") === 0,
  },
  {
    symbol: "UNDISCLOSED_RECIPIENTS",
    points: 0.4,
    strangers: true,
    description: "Nobody is named in To and Cc",
    check: (message) => {
      if (message.count("cc") > 0) return false;
      const to = message.get("to") ?? "";
      return to.trim() === "" || /undisclosed[ -]recipients?/i.test(to.slice(0, 200));
    },
  },
  {
    symbol: "PRIORITY_URGENT",
    points: 0.5,
    description: "The message says that it is urgent",
    check: (message) =>
      /^\s*1/.test(message.get("x-priority") ?? "") ||
      /^\s*high/i.test(message.get("importance") ?? ""),
  },
  {
    symbol: "MIME_WITHOUT_VERSION",
    points: 0.3,
    description: "Content-Type without MIME-Version",
    check: (message) => message.count("content-type") > 0 && message.count("mime-version") === 0,
  },
  {
    symbol: "NO_TRACE_OF_ORIGIN",
    points: 0.5,
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
