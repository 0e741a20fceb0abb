/**
 * Addresses of From, Reply-To and To as far as rules need them (RFC 5322 section 3.4): names, addresses, domains.
 *
 * A reader for judging, not for delivery: it takes any text and never fails. One pass; 4,096 characters and 50 addresses
 * at most.
 * @module
 */

/** One address of a field. */
export interface Named {
  /** Display name, without quotes; `""` where there is none. */
  readonly name: string;
  readonly address: string;
}

const longest = 4096;
const most = 50;

/** `Name <address>` or an address alone, without any of the characters that need the long way. */
const simple =
  /^([^"(),:;<>@\\]{0,200})<([^"(),:;<>\\]{1,320})>[ \t]{0,20}$|^([^"(),:;<>\\\s]{1,320})$/;

/** Addresses of a field, in order. */
export function parseAddresses(text: string): readonly Named[] {
  if (text === "") return [];
  const one = simple.exec(text);
  if (one !== null) {
    const address = one[3] ?? one[2]!.trim();
    return [{ name: (one[1] ?? "").trim(), address }];
  }
  const found: Named[] = [];
  const end = Math.min(text.length, longest);
  let phrase = "";
  let angle: string | undefined;
  let depth = 0;
  let i = 0;

  function flush(): void {
    const name = phrase.trim();
    const address = (angle ?? name).trim();
    if (address !== "" || angle !== undefined) {
      found.push({ name: angle === undefined ? "" : name, address: withoutRoute(address) });
    }
    phrase = "";
    angle = undefined;
  }

  for (; i < end && found.length < most; i++) {
    const char = text[i]!;
    if (char === "\\" && depth > 0) i++;
    else if (char === "(") depth++;
    else if (char === ")" && depth > 0) depth--;
    else if (depth > 0) continue;
    else if (char === '"') {
      for (i++; i < end && text[i] !== '"'; i++) {
        if (text[i] === "\\") i++;
        phrase += text[i] ?? "";
      }
    } else if (char === "<") {
      const close = text.indexOf(">", i);
      const stop = close < 0 || close > end ? end : close;
      angle = text.slice(i + 1, stop);
      i = stop;
    } else if (char === "," || char === ";") flush();
    // `group name: a, b;`: the name is no address.
    else if (char === ":" && !phrase.includes("@")) phrase = "";
    else phrase += char;
  }
  if (found.length < most) flush();
  return found;
}

/** `@a,@b:user@c` is `user@c` (RFC 5322 section 4.4). */
function withoutRoute(address: string): string {
  return address.startsWith("@") ? address.slice(address.indexOf(":") + 1) : address;
}

/** The domain, in lower case; `""` where there is none. */
export function domainOf(address: string): string {
  const at = address.lastIndexOf("@");
  return at < 0 ? "" : address.slice(at + 1).trim().toLowerCase();
}

/** Whether this can be an address at all. */
export function isAddress(address: string): boolean {
  const at = address.lastIndexOf("@");
  return at > 0 && at < address.length - 1 && !/[\s<>,]/.test(address);
}

/**
 * The part of a domain that one organisation holds, by a rule of thumb: two labels, or three where the second is short
 * and the first a country (`example.co.uk`). Good enough for points, not for decisions.
 */
export function organisation(domain: string): string {
  const labels = domain.split(".");
  const country = labels.at(-1)?.length === 2 && (labels.at(-2)?.length ?? 0) <= 3;
  return labels.slice(country ? -3 : -2).join(".");
}
