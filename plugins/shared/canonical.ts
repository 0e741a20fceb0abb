/**
 * The form in which logins are compared.
 * @module
 */

const longestLogin = 320;

/**
 * Unicode form NFC, the domain in lower case. `undefined` for what can be no login. The local part keeps its case, as RFC
 * 5321 section 2.4 has it.
 */
export function canonicalLogin(login: string): string | undefined {
  if (login.length === 0 || login.length > longestLogin) return undefined;
  const composed = login.normalize("NFC");
  const at = composed.lastIndexOf("@");
  return at < 0 ? composed : composed.slice(0, at) + composed.slice(at).toLowerCase();
}
