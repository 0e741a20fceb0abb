/**
 * XCLIENT: a trusted peer says who its client is (Postfix XCLIENT_README). The session begins anew with the new facts.
 * @module
 */
import { type Ask, restarted } from "../session/server.ts";
import type { Session } from "./session.ts";

/** Applies the attributes and greets again. */
export function applyXclient(session: Session, ask: Extract<Ask, { ask: "xclient" }>): void {
  const { facts } = session;
  const { ADDR, PORT, NAME, HELO, PROTO, LOGIN, DESTADDR, DESTPORT } = ask.attributes;
  if (ADDR != null || PORT != null) {
    facts.remote = { address: ADDR ?? facts.remote.address, port: PORT ?? facts.remote.port };
  }
  if (DESTADDR != null || DESTPORT != null) {
    facts.local = { address: DESTADDR ?? facts.local.address, port: DESTPORT ?? facts.local.port };
  }
  if (NAME !== undefined) facts.clientName = NAME ?? undefined;
  if (HELO !== undefined) facts.helo = HELO ?? "";
  if (PROTO != null) facts.esmtp = PROTO === "ESMTP";
  if (LOGIN !== undefined) {
    facts.identity = LOGIN === null ? undefined : { user: LOGIN, mechanism: "XCLIENT" };
  }
  session.restart((before) => restarted(before, facts.identity !== undefined));
}
