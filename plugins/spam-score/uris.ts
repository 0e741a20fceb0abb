/**
 * Addresses of the web in text and links (RFC 3986), as far as rules and classifier need them.
 *
 * Never: resolves, fetches or follows anything. Linear in its input, which is cut.
 * @module
 */

/** One address. */
export interface Uri {
  /** `http` or `https`, or another scheme of a link, in lower case. */
  readonly scheme: string;
  /** User information before an `@`; `""` where there is none. */
  readonly userinfo: string;
  /** As it was written, in lower case, without brackets or port; `""` where there is none. */
  readonly host: string;
  /** `""` where none is told. */
  readonly port: string;
  /** What is behind the host, cut. */
  readonly path: string;
}

const most = 200;
const longest = 1000;

const bare = /^[^\s<>"'\u0000-\u0020]{1,1000}/;

/** An address without any of what needs the long way. */
const plain = /^(https?):\/\/([a-z0-9](?:[a-z0-9.-]{0,252}[a-z0-9]))(?=[/?#]|$)/;

/** The parts of an address; undefined for what is none, such as a relative one. */
export function parseUri(text: string): Uri | undefined {
  const usual = plain.exec(text);
  if (usual !== null) {
    const [whole, scheme, host] = usual;
    const path = text.slice(whole.length, whole.length + 300);
    return { scheme: scheme!, userinfo: "", host: host!, port: "", path };
  }
  const short = text.slice(0, longest).replace(/[\t\r\n]/g, "");
  const scheme = /^\s{0,9}([a-z][a-z0-9+.-]{1,20}):/i.exec(short);
  if (scheme === null) return undefined;
  const name = scheme[1]!.toLowerCase();
  const rest = short.slice(scheme[0].length);
  if (name !== "http" && name !== "https" && name !== "ftp") {
    return { scheme: name, userinfo: "", host: "", port: "", path: rest.slice(0, 100) };
  }
  // Browsers take any number of slashes, and backslashes.
  const start = /^[/\\]{0,9}/.exec(rest)![0].length;
  const stop = rest.slice(start).search(/[/\\?#]/);
  const authority = stop < 0 ? rest.slice(start) : rest.slice(start, start + stop);
  const at = authority.lastIndexOf("@");
  const place = authority.slice(at + 1);
  const colon = place.startsWith("[") ? place.indexOf(":", place.indexOf("]")) : place.indexOf(":");
  const host = (colon < 0 ? place : place.slice(0, colon)).toLowerCase().replace(
    /[.,;)]{1,9}$/,
    "",
  );
  return {
    scheme: name,
    userinfo: at < 0 ? "" : authority.slice(0, at),
    host: host.replace(/^\[|\]$/g, ""),
    port: colon < 0 ? "" : place.slice(colon + 1),
    path: stop < 0 ? "" : rest.slice(start + stop, start + stop + 300),
  };
}

/** Addresses that stand in plain text. */
export function urisInText(text: string): readonly string[] {
  const found: string[] = [];
  let at = 0;
  while (found.length < most) {
    const slashes = text.indexOf("://", at);
    if (slashes < 0) break;
    at = slashes + 3;
    const before = text.slice(Math.max(0, slashes - 5), slashes).toLowerCase();
    const scheme = /(?:https?|ftp)$/.exec(before)?.[0];
    if (scheme === undefined) continue;
    const rest = bare.exec(text.slice(at, at + longest))?.[0] ?? "";
    at += rest.length;
    if (rest !== "") found.push(`${scheme}://${rest.replace(/[.,;:!?)\]}>]{1,9}$/, "")}`);
  }
  return found;
}
