/**
 * IP addresses and networks (RFC 4291, RFC 4632): parse, compare, cut to a prefix.
 *
 * Never: takes a short or octal IPv4 form. An IPv4-mapped IPv6 address is the IPv4 address.
 * @module
 */
import * as v from "valibot";
import { expected } from "./options.ts";

/** A network: its octets and how many bits of them count. */
export interface Network {
  readonly octets: Uint8Array;
  readonly bits: number;
}

/** Four or sixteen octets; undefined where the text is no address. */
export function parseAddress(address: string): Uint8Array | undefined {
  if (address.length > 64) return undefined;
  if (!address.includes(":")) return parseV4(address);
  const zone = address.indexOf("%");
  const octets = parseV6(zone < 0 ? address : address.slice(0, zone));
  return octets !== undefined && isMapped(octets) ? octets.subarray(12) : octets;
}

function parseV4(text: string): Uint8Array | undefined {
  const parts = text.split(".");
  if (parts.length !== 4) return undefined;
  const octets = new Uint8Array(4);
  for (let i = 0; i < 4; i++) {
    const part = parts[i]!;
    if (!/^(?:0|[1-9][0-9]{0,2})$/.test(part)) return undefined;
    const value = Number(part);
    if (value > 255) return undefined;
    octets[i] = value;
  }
  return octets;
}

function parseV6(text: string): Uint8Array | undefined {
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const head = groups(halves[0]!);
  const tail = halves.length === 2 ? groups(halves[1]!) : [];
  if (head === undefined || tail === undefined) return undefined;
  const given = head.length + tail.length;
  if (halves.length === 2 ? given > 14 : given !== 16) return undefined;
  const octets = new Uint8Array(16);
  octets.set(head, 0);
  octets.set(tail, 16 - tail.length);
  return octets;
}

/** Octets of colon-separated groups; the last may be a dotted IPv4 address. */
function groups(text: string): number[] | undefined {
  const octets: number[] = [];
  if (text === "") return octets;
  const parts = text.split(":");
  for (let i = 0; i < parts.length; i++) {
    const part = parts[i]!;
    if (i === parts.length - 1 && part.includes(".")) {
      const v4 = parseV4(part);
      if (v4 === undefined) return undefined;
      octets.push(...v4);
    } else {
      if (!/^[0-9a-fA-F]{1,4}$/.test(part)) return undefined;
      const value = parseInt(part, 16);
      octets.push(value >> 8, value & 255);
    }
  }
  return octets;
}

function isMapped(octets: Uint8Array): boolean {
  for (let i = 0; i < 10; i++) if (octets[i] !== 0) return false;
  return octets[10] === 255 && octets[11] === 255;
}

/** Parses `10.0.0.0/8`, `2001:db8::/32` or a single address; undefined where it is neither. */
export function parseNetwork(text: string): Network | undefined {
  const slash = text.indexOf("/");
  const address = slash < 0 ? text : text.slice(0, slash);
  const octets = parseAddress(address);
  if (octets === undefined || address.includes("%")) return undefined;
  const all = octets.length * 8;
  if (slash < 0) return { octets, bits: all };
  const digits = text.slice(slash + 1);
  if (!/^(?:0|[1-9][0-9]{0,2})$/.test(digits)) return undefined;
  // A mapped network (::ffff:10.0.0.0/104) counts its bits from the IPv6 form.
  const bits = Number(digits) - (address.includes(":") && all === 32 ? 96 : 0);
  return bits < 0 || bits > all ? undefined : { octets, bits };
}

/** Whether an address lies in a network; addresses of the other family never do. */
export function contains(network: Network, address: Uint8Array): boolean {
  if (network.octets.length !== address.length) return false;
  const whole = network.bits >> 3;
  for (let i = 0; i < whole; i++) if (network.octets[i] !== address[i]) return false;
  const rest = network.bits & 7;
  if (rest === 0) return true;
  const mask = (0xff << (8 - rest)) & 0xff;
  return (network.octets[whole]! & mask) === (address[whole]! & mask);
}

/** A short text that is the same for all addresses of one network; what is no address stands for itself. */
export function networkKey(address: string, v4Bits: number, v6Bits: number): string {
  const octets = parseAddress(address);
  if (octets === undefined) return address;
  const bits = octets.length === 4 ? v4Bits : v6Bits;
  let key = "";
  for (let i = 0; i * 8 < bits; i++) {
    const left = bits - i * 8;
    const octet = left >= 8 ? octets[i]! : octets[i]! & (0xff << (8 - left));
    key += (octet < 16 ? "0" : "") + octet.toString(16);
  }
  return `${key}/${bits}`;
}

/** A list of networks, parsed. */
export function networks() {
  const message = expected('a network such as "10.0.0.0/8" or "2001:db8::/32"');
  return v.array(
    v.pipe(
      v.string(message),
      v.check((text) => parseNetwork(text) !== undefined, message),
      v.transform((text) => parseNetwork(text)!),
    ),
    expected("a list of networks"),
  );
}

/** Whether an address, as text, lies in one of some networks. */
export function within(list: readonly Network[], address: string): boolean {
  if (list.length === 0) return false;
  const octets = parseAddress(address);
  return octets !== undefined && list.some((network) => contains(network, octets));
}
