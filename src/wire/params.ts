/**
 * Parameters of MAIL and RCPT: SIZE (RFC 1870), BODY (RFC 6152, 3030), SMTPUTF8 (RFC 6531), RET and ENVID, NOTIFY
 * and ORCPT (RFC 3461), AUTH (RFC 4954), REQUIRETLS (RFC 8689).
 *
 * Unknown parameters are 555, known ones with a bad value or given twice 501 (RFC 5321 section 4.1.1.11).
 * @module
 */
import { MAX_ENVID, MAX_ORCPT } from "./limits.ts";
import { type Reply, reply } from "./reply.ts";
import { hasControl, isAscii } from "./text.ts";
import { decodeXtext, isXtext } from "./xtext.ts";

/** Parameters of MAIL FROM that were given. */
export interface MailParams {
  /** Declared size in octets (RFC 1870). */
  readonly size?: number;
  /** RFC 6152 and RFC 3030. */
  readonly body?: "7BIT" | "8BITMIME" | "BINARYMIME";
  /** RFC 6531. */
  readonly smtputf8?: true;
  /** RFC 3461. */
  readonly ret?: "FULL" | "HDRS";
  /** RFC 3461, xtext as sent (validated). */
  readonly envid?: string;
  /** RFC 4954 section 5: xtext as sent (validated), or `<>`. */
  readonly auth?: string;
  /** RFC 8689. */
  readonly requiretls?: true;
}

/** Parameters of RCPT TO that were given. */
export interface RcptParams {
  /** RFC 3461: `NEVER`, or any of the others. */
  readonly notify?: readonly ("NEVER" | "SUCCESS" | "FAILURE" | "DELAY")[];
  /** RFC 3461: `addr-type;xtext` as sent (validated). Type `utf-8` may hold characters outside US-ASCII (RFC 6533). */
  readonly orcpt?: string;
}

/** What the parse of parameters found: their values, or the reply that refuses them. */
export type ParamsResult<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly reply: Reply };

type Mutable<T> = { -readonly [K in keyof T]: T[K] };
type Notify = NonNullable<RcptParams["notify"]>[number];

const BODIES = ["7BIT", "8BITMIME", "BINARYMIME"] as const;
const RETS = ["FULL", "HDRS"] as const;
const NOTIFIES = ["NEVER", "SUCCESS", "FAILURE", "DELAY"] as const;

/** Parses what follows the reverse-path: nothing, or parameters, each behind one space. */
export function parseMailParams(text: string): ParamsResult<MailParams> {
  const params: Mutable<MailParams> = {};
  return parse(text, params, (keyword, value) => {
    switch (keyword) {
      case "SIZE":
        return set(params, "size", parseSize(value));
      case "BODY":
        return set(params, "body", oneOf(value, ...BODIES));
      case "SMTPUTF8":
        return set(params, "smtputf8", value === undefined ? true : undefined);
      case "RET":
        return set(params, "ret", oneOf(value, ...RETS));
      case "ENVID":
        return set(params, "envid", isEnvid(value) ? value : undefined);
      case "AUTH":
        return set(params, "auth", isAuth(value) ? value : undefined);
      case "REQUIRETLS":
        return set(params, "requiretls", value === undefined ? true : undefined);
      default:
        return UNKNOWN;
    }
  });
}

/** Parses what follows the forward-path: nothing, or parameters, each behind one space. */
export function parseRcptParams(text: string): ParamsResult<RcptParams> {
  const params: Mutable<RcptParams> = {};
  return parse(text, params, (keyword, value) => {
    switch (keyword) {
      case "NOTIFY":
        return set(params, "notify", parseNotify(value));
      case "ORCPT":
        return set(params, "orcpt", isOrcpt(value) ? value : undefined);
      default:
        return UNKNOWN;
    }
  });
}

/** The parameters in wire form, each behind a space; `""` for none. A value outside its grammar throws a `TypeError`. */
export function formatMailParams(params: MailParams): string {
  const { size, body, smtputf8, ret, envid, auth, requiretls } = params;
  let out = "";
  if (size !== undefined) out += one("SIZE", String(size), Number.isSafeInteger(size) && size >= 0);
  if (body !== undefined) out += one("BODY", body, oneOf(body, ...BODIES) === body);
  if (smtputf8 === true) out += " SMTPUTF8";
  if (ret !== undefined) out += one("RET", ret, oneOf(ret, ...RETS) === ret);
  if (envid !== undefined) out += one("ENVID", envid, isEnvid(envid));
  if (auth !== undefined) out += one("AUTH", auth, isAuth(auth));
  if (requiretls === true) out += " REQUIRETLS";
  return out;
}

/** The parameters in wire form, each behind a space; `""` for none. A value outside its grammar throws a `TypeError`. */
export function formatRcptParams(params: RcptParams): string {
  const notify = params.notify?.join(",");
  let out = "";
  if (notify !== undefined) out += one("NOTIFY", notify, parseNotify(notify) !== undefined);
  if (params.orcpt !== undefined) out += one("ORCPT", params.orcpt, isOrcpt(params.orcpt));
  return out;
}

/** The values were checked when they were parsed; they are checked again because a value may come from a plugin or a file. */
function one(keyword: string, value: string, valid: boolean): string {
  if (!valid) throw new TypeError(`Cannot format ${keyword}: the value is outside its grammar`);
  return ` ${keyword}=${value}`;
}

const UNKNOWN = "unknown";
const BAD = "bad";
type Outcome = "ok" | typeof UNKNOWN | typeof BAD;

const SYNTAX_REPLY = reply(501, "5.5.4", "Bad parameter syntax");
const VALUE_REPLY = reply(501, "5.5.4", "Bad or repeated parameter");
const UNKNOWN_REPLY = reply(555, "5.5.4", "Parameter not recognized or not implemented");

function parse<T>(
  text: string,
  params: T,
  take: (keyword: string, value: string | undefined) => Outcome,
): ParamsResult<T> {
  if (text === "") return { ok: true, value: params };
  if (!text.startsWith(" ")) return { ok: false, reply: SYNTAX_REPLY };
  for (const param of text.slice(1).split(" ")) {
    const equals = param.indexOf("=");
    const keyword = equals < 0 ? param : param.slice(0, equals);
    // ASCII before upper case: some letters outside it map into it.
    if (!/^[A-Za-z0-9][A-Za-z0-9-]*$/.test(keyword)) return { ok: false, reply: SYNTAX_REPLY };
    const value = equals < 0 ? undefined : param.slice(equals + 1);
    if (value !== undefined && (value === "" || value.includes("=") || hasControl(value))) {
      return { ok: false, reply: SYNTAX_REPLY };
    }
    const outcome = take(keyword.toUpperCase(), value);
    if (outcome === UNKNOWN) return { ok: false, reply: UNKNOWN_REPLY };
    if (outcome === BAD) return { ok: false, reply: VALUE_REPLY };
  }
  return { ok: true, value: params };
}

function set<T, K extends keyof T>(params: T, key: K, value: T[K] | undefined): Outcome {
  if (value === undefined || params[key] !== undefined) return BAD;
  params[key] = value;
  return "ok";
}

function parseSize(value: string | undefined): number | undefined {
  if (value === undefined || !/^[0-9]{1,20}$/.test(value)) return undefined;
  // Twenty digits are right by the grammar and past every limit: any size up there is refused by its size.
  return Math.min(Number(value), Number.MAX_SAFE_INTEGER);
}

function oneOf<T extends string>(
  value: string | undefined,
  ...allowed: T[]
): T | undefined {
  if (value === undefined || !isAscii(value)) return undefined;
  const upper = value.toUpperCase();
  return allowed.find((word) => word === upper);
}

function parseNotify(value: string | undefined): readonly Notify[] | undefined {
  const found: Notify[] = [];
  for (const word of value?.split(",") ?? []) {
    const event = oneOf(word, ...NOTIFIES);
    if (event === undefined || found.includes(event)) return undefined;
    found.push(event);
  }
  // NEVER stands alone (RFC 3461 section 4.1).
  if (found.length === 0 || (found.length > 1 && found.includes("NEVER"))) return undefined;
  return found;
}

/** xtext, not empty, that stands for printable text: what it decodes to ends up in a DSN's header (RFC 3461 section 4.4). */
function isPrintableXtext(text: string): boolean {
  const decoded = decodeXtext(text);
  return decoded !== undefined && decoded !== "" && !hasControl(decoded);
}

function isEnvid(value: string | undefined): value is string {
  return value !== undefined && value.length <= MAX_ENVID && isPrintableXtext(value);
}

function isAuth(value: string | undefined): value is string {
  return value !== undefined && value.length <= MAX_ORCPT && isPrintableXtext(value);
}

function isOrcpt(value: string | undefined): value is string {
  const found = /^([A-Za-z0-9!#$%&'*\-/?^_`{|}~]+);(.+)$/.exec(value ?? "");
  if (value === undefined || value.length > MAX_ORCPT || found === null) return false;
  const [, type = "", address = ""] = found;
  if (/^utf-8$/i.test(type) && !isAscii(address)) {
    // utf-8-addr-unitext (RFC 6533 section 3): characters outside US-ASCII stand for themselves.
    return address.isWellFormed() && !hasControl(address) &&
      isXtext(address.replace(/[^\x00-\x7f]/g, ""));
  }
  return isPrintableXtext(address);
}
