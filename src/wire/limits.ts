/**
 * Sizes that RFC 5321 section 4.5.3.1 and its extensions set. All in octets.
 * @module
 */

/** Local part (RFC 5321 section 4.5.3.1.1). */
export const MAX_LOCAL_PART = 64;
/** Domain (RFC 5321 section 4.5.3.1.2). */
export const MAX_DOMAIN = 255;
/** Label of a domain in its ASCII form (RFC 1035 section 2.3.4). */
export const MAX_LABEL = 63;
/** Path with its angle brackets (RFC 5321 section 4.5.3.1.3). */
export const MAX_PATH = 256;
/** Command line with its CRLF (RFC 5321 section 4.5.3.1.4). */
export const MAX_COMMAND_LINE = 512;
/** Reply line with its CRLF (RFC 5321 section 4.5.3.1.5). */
export const MAX_REPLY_LINE = 512;
/** Line of a message without its CRLF (RFC 5322 section 2.1.1). */
export const MAX_TEXT_LINE = 998;
/** ENVID (RFC 3461 section 4.4). */
export const MAX_ENVID = 100;
/** ORCPT (RFC 3461 section 4.2); also set for AUTH= of MAIL, which has no limit of its own. */
export const MAX_ORCPT = 500;
