/**
 * What a rule tells apart, as the key of its counter.
 *
 * Owns: what is known of a session's source, worked out once.   Never: lets two subjects share a key.
 * @module
 */
import type { Mailbox, ReversePath, SessionFacts } from "@postern/postern/plugin";
import { networkKey, within } from "../shared/network.ts";
import type { Rule } from "./options.ts";

/** Facts that keys are made of; `from` and `to` are undefined where the stage has none. */
export interface Subject {
  readonly session: SessionFacts;
  /** The login, also one that has failed. */
  readonly login: string | undefined;
  readonly from: ReversePath | undefined;
  readonly to: Mailbox | undefined;
}

/** What stays the same for a session, until XCLIENT makes it another client's. */
export class Source {
  readonly remote: SessionFacts["remote"];
  readonly exempt: boolean;
  readonly address: string;
  #networks: Map<string, string> | undefined;
  #exemptOf: Map<Rule, boolean> | undefined;

  constructor(remote: SessionFacts["remote"], exempt: boolean) {
    this.remote = remote;
    this.exempt = exempt;
    this.address = networkKey(remote.address, 32, 128);
  }

  network({ v4, v6 }: Rule["prefixes"]): string {
    const prefixes = `${v4}/${v6}`;
    let key = this.#networks?.get(prefixes);
    if (key === undefined) {
      key = networkKey(this.remote.address, v4, v6);
      (this.#networks ??= new Map()).set(prefixes, key);
    }
    return key;
  }

  exemptOf(rule: Rule): boolean {
    if (rule.exempt.length === 0) return false;
    let exempt = this.#exemptOf?.get(rule);
    if (exempt === undefined) {
      exempt = within(rule.exempt, this.remote.address);
      (this.#exemptOf ??= new Map()).set(rule, exempt);
    }
    return exempt;
  }
}

/** The key of a rule's counter; undefined where the rule does not apply to this session or transaction. */
export function keyOf(rule: Rule, source: Source, subject: Subject): string | undefined {
  const { session } = subject;
  if (
    rule.authenticated !== undefined &&
    rule.authenticated !== (session.identity !== undefined)
  ) return undefined;
  if (source.exemptOf(rule)) return undefined;
  // A line feed stands in none of the parts, so two different subjects never share a key.
  let key = rule.name;
  for (let i = 0; i < rule.by.length; i++) {
    const part = partOf(rule, i, source, subject);
    if (part === undefined) return undefined;
    key += `\n${part}`;
  }
  return key;
}

function partOf(rule: Rule, i: number, source: Source, subject: Subject): string | undefined {
  const dimension = rule.by[i]!;
  switch (dimension) {
    case "address":
      return source.address;
    case "network":
      return source.network(rule.prefixes);
    case "listener":
      return subject.session.listener;
    case "login":
      return subject.login;
    case "helo":
      return subject.session.helo.toLowerCase();
    case "recipient":
      return subject.to?.address.toLowerCase() ?? "";
    case "recipient-domain":
      return subject.to?.domain ?? "";
    case "sender":
    case "sender-domain":
      // All bounces of the world share the null reverse-path: alone it tells nobody apart.
      if (!subject.from) return rule.by.length === 1 ? undefined : "<>";
      return dimension === "sender" ? subject.from.address.toLowerCase() : subject.from.domain;
  }
}
