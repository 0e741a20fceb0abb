/**
 * Domains and address literals (RFC 5321 sections 4.1.2 and 4.1.3, RFC 5890 section 2.3.2.1).
 *
 * Stricter than the letter where readers disagree, so that nobody behind us can take a domain for another one:
 * no trailing dot, no all-digit top-level label (that is an address to a resolver), and no character that a
 * compatibility mapping turns into a dot, an `@` or a letter. `_` is let through: host names in mail have it.
 * @module
 */
import { parseIPv4, parseIPv6 } from "./ip.ts";
import { MAX_DOMAIN, MAX_LABEL } from "./limits.ts";
import { isAscii, octetLength } from "./text.ts";

const LABEL = /^[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?$/i;
// Letters, marks and digits, and the characters that RFC 5892 appendix A allows in context.
const U_LABEL = /^[\p{L}\p{M}\p{N}_\u00b7\u0375\u05f3\u05f4\u200c\u200d\u30fb-]+$/u;
const GENERAL_LITERAL = /^\[[A-Za-z0-9-]*[A-Za-z0-9]:[!-Z^-~]+\]$/;

/** True for a domain: A-labels, U-labels, or plain ASCII labels. Its length is the caller's business. */
export function isDomain(text: string): boolean {
  // A U-label is stable under NFKC (RFC 5892 section 2.2): full-width letters, ligatures and the like are not.
  if (!isAscii(text) && text.normalize("NFKC") !== text) return false;
  const labels = text.split(".");
  for (const label of labels) {
    if (isAscii(label)) {
      if (label.length > MAX_LABEL || !LABEL.test(label)) return false;
    } else if (!U_LABEL.test(label) || label.startsWith("-") || label.endsWith("-")) {
      return false;
    }
  }
  return !/^[0-9]+$/.test(labels[labels.length - 1] ?? "");
}

/** True for an address literal in its brackets: IPv4, `IPv6:`, or another tag (RFC 5321 section 4.1.3). */
export function isLiteral(text: string): boolean {
  if (!text.startsWith("[") || !text.endsWith("]")) return false;
  const content = text.slice(1, -1);
  if (/^IPv6:/i.test(content)) return parseIPv6(content.slice(5)) !== undefined;
  return parseIPv4(content) !== undefined || GENERAL_LITERAL.test(text);
}

/**
 * True for an argument of HELO or EHLO. More than the RFC allows, as real clients send more: single labels, `_`, bare
 * addresses, a literal without its tag. It is never looked up and never sent on unless it passed here.
 */
export function isHeloName(text: string): boolean {
  if (octetLength(text) > MAX_DOMAIN) return false;
  return /^[A-Za-z0-9_][A-Za-z0-9._-]*$/.test(text) || /^\[[!-Z^-~]+\]$/.test(text) ||
    parseIPv6(text) !== undefined;
}
