/**
 * For whom a plugin runs: the `when` of the configuration, compiled, and the share of sessions that `percent` picks.
 *
 * Every key that is given must hold. A key that asks for what is not known yet does not hold: before EHLO there is no name,
 * before MAIL no sender, before RCPT no recipient.
 * @module
 */
import type { SessionFacts, TransactionFacts } from "../plugin/facts.ts";
import type { PluginCondition } from "../settings/settings.ts";
import type { Mailbox } from "../wire/path.ts";
import { networkList } from "./networks.ts";

/** Tells whether a plugin is asked. `to`: in `rcpt`, the recipient that is judged. */
export type Condition = (
  session: SessionFacts,
  tx: TransactionFacts | undefined,
  to: Mailbox | undefined,
) => boolean;

/** Compiles a condition once. */
export function condition(when: PluginCondition): Condition {
  const parts: Condition[] = [];
  const { networks, authenticated, tls, helo, senderDomains, recipientDomains } = when;
  if (tls !== undefined) parts.push((session) => (session.tls !== undefined) === tls);
  if (authenticated !== undefined) {
    parts.push((session) => (session.identity !== undefined) === authenticated);
  }
  if (helo !== undefined) {
    const covers = domainList(helo);
    parts.push((session) => session.helo !== "" && covers(session.helo.toLowerCase()));
  }
  if (senderDomains !== undefined) {
    const covers = domainList(senderDomains);
    parts.push((_, tx) => tx !== undefined && tx.from !== null && covers(tx.from.domain));
  }
  if (recipientDomains !== undefined) {
    const covers = domainList(recipientDomains);
    parts.push((_, tx, to) =>
      to !== undefined
        ? covers(to.domain)
        : tx !== undefined && tx.recipients.some(({ domain }) => covers(domain))
    );
  }
  if (networks !== undefined) {
    const holds = networkList(networks);
    parts.push((session) => holds(session.remote.address));
  }
  return (session, tx, to) => parts.every((part) => part(session, tx, to));
}

/** Domains and, by `*.`, any subdomain of one. */
function domainList(patterns: readonly string[]): (domain: string) => boolean {
  const exact = new Set(patterns.filter((pattern) => !pattern.startsWith("*.")));
  const suffixes = new Set(
    patterns.filter((pattern) => pattern.startsWith("*.")).map((pattern) => pattern.slice(2)),
  );
  return (domain) => {
    if (exact.has(domain)) return true;
    if (suffixes.size === 0) return false;
    for (let dot = domain.indexOf("."); dot >= 0; dot = domain.indexOf(".", dot + 1)) {
      if (suffixes.has(domain.slice(dot + 1))) return true;
    }
    return false;
  };
}

/** The place of a session among a hundred: the same for every plugin and every look (FNV-1a, mixed). */
export function canaryPlace(session: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < session.length; i++) {
    hash = Math.imul(hash ^ session.charCodeAt(i), 0x01000193);
  }
  hash = Math.imul(hash ^ hash >>> 16, 0x85ebca6b);
  hash = Math.imul(hash ^ hash >>> 13, 0xc2b2ae35);
  return ((hash ^ hash >>> 16) >>> 0) % 100;
}

/** Tells of a session or a transaction whether it is one of those that the plugin is a shadow in. */
export function outsideOf(percent: number): (on: object) => boolean {
  return (on) => {
    const { session = on } = on as { readonly session?: unknown };
    const { id } = session as { readonly id?: unknown };
    return typeof id === "string" && canaryPlace(id) >= percent;
  };
}
