/**
 * Rules over HELO and envelope. Every check is linear in its bounded input.
 * @module
 */
import { parseAddress } from "../shared/network.ts";
import type { EnvelopeRule } from "./rule.ts";

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
