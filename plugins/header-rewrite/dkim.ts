/**
 * Which fields a message's DKIM signatures cover (RFC 6376 section 3.5, tag `h=`).
 * @module
 */

/** Signatures and field names looked at: more are no signatures but an attack. */
const mostSignatures = 20;
const mostNames = 200;

/** The lower-case field names of one signature, each as often as it is listed. */
export function signedNames(signature: string): readonly string[] {
  for (const tag of signature.split(";", 50)) {
    const equals = tag.indexOf("=");
    if (equals < 0 || tag.slice(0, equals).trim().toLowerCase() !== "h") continue;
    return tag.slice(equals + 1).split(":", mostNames).map((name) => name.trim().toLowerCase());
  }
  return [];
}

/** How a field is touched: a field on top breaks a signature only where it is listed more often than it stands there. */
export type Touch = "change" | "above" | "below";

/** Whether touching a field so breaks a signature; `present` is how many fields of this name there are. */
export function breaks(
  signatures: readonly string[],
  name: string,
  touch: Touch,
  present: number,
): boolean {
  const lower = name.toLowerCase();
  return signatures.slice(0, mostSignatures).some((signature) => {
    let listed = 0;
    for (const signed of signedNames(signature)) if (signed === lower) listed++;
    return touch === "above" ? listed > present : listed > 0;
  });
}
