/**
 * Who is on this machine.
 * @module
 */

/** True for 127.0.0.0/8, ::1 and unix sockets. */
export function isLoopback(address: string): boolean {
  return address.startsWith("127.") || address === "::1" || address.startsWith("/");
}
