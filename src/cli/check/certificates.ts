/**
 * The part of `postern check` that looks at certificates: readable, a pair with their key, in their time, for our name.
 * @module
 */
import { access, constants } from "node:fs/promises";
import * as path from "node:path";
import { tlsContexts, usesTls } from "../../assembly/tls.ts";
import { reasonOf } from "../../assembly/start_failed.ts";
import { readTextIfExists } from "../../runtime/files.ts";
import { type CertificateFacts, inspectCertificate, loadIdentity } from "../../runtime/identity.ts";
import { systemNetwork } from "../../runtime/system_net.ts";
import { systemReason } from "../../runtime/system_reason.ts";
import { visible } from "../../settings/problem.ts";
import type { TlsIdentity } from "../../transport/duplex.ts";
import type { Finding } from "./report.ts";
import type { LoadedConfiguration } from "../load_configuration.ts";

const DAY = 24 * 60 * 60 * 1000;
/** A certificate that is renewed by a program should never come so near to its end. */
const SOON = 14 * DAY;

/** Looks at every certificate that the configuration names. */
export async function checkCertificates(loaded: LoadedConfiguration): Promise<Finding[]> {
  const { settings, place } = loaded;
  const { certificates } = settings.tls;
  if (certificates.length === 0) {
    return usesTls(settings) ? [await selfSignedFinding(settings.dataDir)] : [];
  }
  const findings: Finding[] = [];
  const identities: TlsIdentity[] = [];
  const now = Date.now();
  for (const [index, pair] of certificates.entries()) {
    try {
      const identity = await loadIdentity(pair);
      const facts = inspectCertificate(identity.cert);
      identities.push(identity);
      findings.push(finding(shownPath(pair.cert, settings.baseDir), facts, now));
    } catch (cause) {
      const message = place(`tls.certificates[${index}]`, reasonOf(cause));
      findings.push({ status: "wrong", subject: "", detail: message });
    }
  }
  if (identities.length < certificates.length) return findings;
  try {
    await tlsContexts(settings, systemNetwork(), identities);
  } catch (cause) {
    const at = settings.tls.clientCa === undefined ? "tls" : "tls.client_ca";
    findings.push({ status: "wrong", subject: "", detail: place(at, reasonOf(cause)) });
  }
  const names = identities.flatMap((identity) => identity.names);
  if (!covers(names, settings.hostname)) {
    findings.push({
      status: "warning",
      subject: settings.hostname,
      detail: "is in no certificate; who connects by this name and looks will refuse",
    });
  }
  return findings;
}

function finding(subject: string, facts: CertificateFacts, now: number): Finding {
  const { names, notBefore, notAfter } = facts;
  const date = notAfter.toISOString().slice(0, 10);
  const left = notAfter.getTime() - now;
  const about = (status: Finding["status"], detail: string): Finding => ({
    status,
    subject,
    detail: visible(`${detail}; for ${names.join(", ") || "no name"}`),
  });
  if (left <= 0) return about("broken", `expired on ${date}, renew it`);
  if (notBefore.getTime() > now) {
    return about("broken", `is not valid before ${notBefore.toISOString().slice(0, 10)}`);
  }
  if (left < SOON) return about("warning", `expires in ${days(left)} (${date}), renew it`);
  const issuer = facts.selfSigned ? "self-signed, " : "";
  return about("ok", `${issuer}valid until ${date} (${days(left)})`);
}

function days(ms: number): string {
  const count = Math.floor(ms / DAY);
  return count === 0 ? "less than a day" : count === 1 ? "1 day" : `${count} days`;
}

/** None is configured: one is made at the start, so the folder for it must take it. */
async function selfSignedFinding(dataDir: string): Promise<Finding> {
  const subject = "self-signed";
  let kept: string | undefined;
  try {
    kept = await readTextIfExists(path.join(dataDir, "self-signed.crt"));
    await access(await existingParent(dataDir), constants.W_OK);
  } catch (cause) {
    return {
      status: "broken",
      subject,
      detail: `none is configured, and one cannot be kept in ${dataDir}: ${
        systemReason(cause) ?? reasonOf(cause)
      }`,
    };
  }
  return {
    status: "note",
    subject,
    detail: kept === undefined
      ? `none is configured, one will be made in ${dataDir}`
      : `none is configured, the one in ${dataDir} is used and renewed`,
  };
}

async function existingParent(folder: string): Promise<string> {
  for (let at = folder;;) {
    try {
      await access(at);
      return at;
    } catch (cause) {
      const above = path.dirname(at);
      if (above === at) throw cause;
      at = above;
    }
  }
}

/** RFC 6125 section 6.4: the name itself, or a wildcard for its first label. */
function covers(names: readonly string[], hostname: string): boolean {
  const wanted = hostname.toLowerCase();
  const dot = wanted.indexOf(".");
  return names.includes(wanted) || (dot > 0 && names.includes(`*${wanted.slice(dot)}`));
}

function shownPath(file: string, baseDir: string): string {
  const near = path.relative(baseDir, file);
  return near.startsWith("..") ? file : near;
}
