/**
 * Which edits break a message's signatures (RFC 6376 sections 3.5 and 5.4.2): those of fields that `h=` lists. ARC message
 * signatures (RFC 8617) list fields in the same way.
 *
 * Header edits never touch the body, so `bh=` and `l=` do not matter. Never: verifies a signature.
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

const nothing: ReadonlyMap<string, number> = new Map();

/** The signed fields of one message. */
export class SignedFields {
  /** How often a field is listed in the signature that lists it most. */
  readonly #listed: ReadonlyMap<string, number>;

  constructor(signatures: readonly string[]) {
    if (signatures.length === 0) {
      this.#listed = nothing;
      return;
    }
    const most = new Map<string, number>();
    this.#listed = most;
    for (const signature of signatures.slice(0, mostSignatures)) {
      const counts = new Map<string, number>();
      for (const name of signedNames(signature)) counts.set(name, (counts.get(name) ?? 0) + 1);
      for (const [name, count] of counts) {
        if (count > (most.get(name) ?? 0)) most.set(name, count);
      }
    }
  }

  /** Nothing is signed. */
  get none(): boolean {
    return this.#listed.size === 0;
  }

  /**
   * Whether changing or removing field number `index` (from the top) of `present` breaks a signature: a name listed n
   * times means the lowest n fields.
   */
  byChange(key: string, index: number, present: number): boolean {
    const listed = this.#listed.get(key) ?? 0;
    return listed > 0 && index >= present - listed;
  }

  /** Whether a field above all others breaks one: only where it was signed that there is none more. */
  byTop(key: string, present: number): boolean {
    return (this.#listed.get(key) ?? 0) > present;
  }

  /** Whether a field below all others, or anywhere between them, breaks one. */
  byBottom(key: string): boolean {
    return (this.#listed.get(key) ?? 0) > 0;
  }
}
