/**
 * AUTH (RFC 4954): PLAIN (RFC 4616), LOGIN, SCRAM-SHA-256 (RFC 5802, RFC 7677), XOAUTH2, OAUTHBEARER (RFC 7628) and
 * EXTERNAL (RFC 4422 appendix A), with and without initial response, cancelled with `*`. Wrong credentials and unknown
 * users get the same answer (R16); each failure makes the next answer later, the last one ends the session (R17).
 * Nothing a client sends here reaches a log (R18).
 *
 * SCRAM-SHA-256-PLUS is not offered: Deno's TLS sockets export no keying material (RFC 9266). So the header's `n` and `y`
 * are both right, and `p` is not.
 * @module
 */
import * as Effect from "effect/Effect";
import type { AuthOutcome, LoginCredentials, ScramOpening } from "../pipeline/pipeline.ts";
import { scramNonce } from "../pipeline/scram.ts";
import type { Identity } from "../plugin/facts.ts";
import type { Ask } from "../session/server.ts";
import type { Log } from "../telemetry/log.ts";
import {
  decodeBase64,
  encodeBase64,
  LOGIN_PASSWORD,
  LOGIN_USERNAME,
  parseLoginAnswer,
  parsePlain,
  parseSaslText,
} from "../wire/sasl.ts";
import { parseOAuthBearer, parseXOAuth2 } from "../wire/sasl_oauth.ts";
import {
  bindsHeader,
  formatScramFinal,
  formatScramFirst,
  parseScramFinal,
  parseScramFirst,
  scramAuthMessage,
  type ScramClientFirst,
} from "../wire/sasl_scram.ts";
import { type Reply, reply } from "../wire/reply.ts";
import { answers, refusalReply } from "./answers.ts";
import type { Session } from "./session.ts";

/** RFC 4954 section 4: a line of a SASL exchange, and of an AUTH command. */
export const saslLine = 12_288;

/** What a refused token is answered with, before the reply (RFC 7628 section 3.2.2, and what XOAUTH2 made of it). */
const tokenRefused: ReadonlyMap<string, string> = new Map([
  ["OAUTHBEARER", '{"status":"invalid_token"}'],
  ["XOAUTH2", '{"status":"401","schemes":"bearer"}'],
]);

/** How failures are slowed down. */
export interface AuthLimits {
  /** Milliseconds, times the failures so far. */
  readonly delay: number;
  readonly failures: number;
  /** Failures that end the session. */
  readonly limit: number;
  readonly log: Log;
}

/** One AUTH command to its answer. */
export class AuthExchange {
  readonly #session: Session;
  readonly #ask: Extract<Ask, { ask: "auth" }>;
  readonly #limits: AuthLimits;
  /** Takes the client's next line. */
  #next: (text: string) => void = () => this.fault();
  /** What to do about a cancelled exchange, or a line that is none. */
  #broken: (answer: Reply) => void = (answer) => this.#over(answer, false);

  constructor(session: Session, ask: Extract<Ask, { ask: "auth" }>, limits: AuthLimits) {
    this.#session = session;
    this.#ask = ask;
    this.#limits = limits;
  }

  /** The initial response, or the first challenge. */
  begin(): void {
    this.#session.receiver.sasl(saslLine);
    const { mechanism, initial } = this.#ask;
    this.#next = this.#first(mechanism);
    if (initial !== undefined) this.line(initial === "=" ? "" : initial);
    else this.#challenge(mechanism === "LOGIN" ? LOGIN_USERNAME : "");
  }

  /** The client's response. */
  line(text: string): void {
    if (text === "*") this.#broken(answers.authCancelled);
    else this.#next(text);
  }

  /** A response that cannot be read, or a line that is none. */
  fault(tooLong = false): void {
    this.#broken(tooLong ? answers.authTooLong : answers.authMalformed);
  }

  #first(mechanism: string): (text: string) => void {
    switch (mechanism) {
      case "LOGIN":
        return (text) => this.#login(text);
      case "SCRAM-SHA-256":
        return (text) => this.#scram(text);
      case "XOAUTH2":
      case "OAUTHBEARER":
        return (text) => this.#bearer(text);
      case "EXTERNAL":
        return (text) => this.#external(text);
      default:
        return (text) => this.#plain(text);
    }
  }

  #plain(text: string): void {
    const octets = decodeBase64(text);
    const given = octets === undefined ? undefined : parsePlain(octets);
    if (given === undefined) this.fault();
    else if (isForeign(given.authzid, given.authcid)) this.#failed(given.authcid);
    else this.#verify(given.authcid, given.password);
  }

  #login(text: string): void {
    const user = parseLoginAnswer(text);
    if (user === undefined) {
      this.fault();
      return;
    }
    this.#next = (answer) => {
      const password = parseLoginAnswer(answer);
      if (password === undefined) this.fault();
      else this.#verify(user, password);
    };
    this.#challenge(LOGIN_PASSWORD);
  }

  #verify(user: string, password: string): void {
    const { mechanism } = this.#ask;
    this.#authenticate({ mechanism, user, password }, (answer) => this.#failed(user, answer));
  }

  #scram(text: string): void {
    const message = parseSaslText(text);
    const first = message === undefined ? undefined : parseScramFirst(message);
    if (first === undefined || first.binding === "p") {
      this.fault();
      return;
    }
    const { user } = first;
    if (isForeign(first.authzid, user)) {
      this.#failed(user);
      return;
    }
    this.#session.run(this.#session.pipeline.openScram(user), (opening) => {
      if ("refused" in opening) {
        this.#refused(opening, (answer) => this.#failed(user, answer));
        return;
      }
      const { salt, iterations } = opening.secret;
      const nonce = `${first.nonce}${scramNonce()}`;
      const serverFirst = formatScramFirst(nonce, salt, iterations);
      this.#next = (answer) => this.#scramProof(first, opening, nonce, serverFirst, answer);
      this.#challenge(base64(serverFirst));
    });
  }

  #scramProof(
    first: ScramClientFirst,
    opening: Exclude<ScramOpening, { readonly refused: unknown }>,
    nonce: string,
    serverFirst: string,
    text: string,
  ): void {
    const message = parseSaslText(text);
    const final = message === undefined ? undefined : parseScramFinal(message);
    if (final === undefined) {
      this.fault();
      return;
    }
    const { user } = first;
    if (final.nonce !== nonce || !bindsHeader(first, final)) {
      this.#failed(user);
      return;
    }
    const authMessage = scramAuthMessage(first, serverFirst, final);
    const closing = this.#session.pipeline.closeScram(opening, authMessage, final.proof);
    this.#session.run(closing, ({ outcome, signature }) => {
      if (!("identity" in outcome)) {
        this.#refused(outcome, (answer) => this.#failed(user, answer));
        return;
      }
      const { identity } = outcome;
      // SMTP has no place for data beside its 235: the client acknowledges ours with an empty line (RFC 4954 section 4).
      this.#next = (answer) => answer === "" ? this.#succeeded(identity) : this.fault();
      this.#challenge(base64(formatScramFinal(signature)));
    });
  }

  #bearer(text: string): void {
    const { mechanism } = this.#ask;
    const octets = decodeBase64(text);
    const parse = mechanism === "XOAUTH2" ? parseXOAuth2 : parseOAuthBearer;
    const given = octets === undefined ? undefined : parse(octets);
    if (given === undefined) {
      this.fault();
      return;
    }
    this.#authenticate({ mechanism, ...given }, (refusal) => {
      // The challenge tells already that the token is wrong: it comes as late as the reply to any other failure.
      this.#failedLater(given.user, () => {
        // Whatever the client says to it, the exchange has failed (RFC 7628 section 3.2.3).
        this.#next = () => this.#refuse(refusal);
        this.#broken = (answer) =>
          this.#refuse(answer === answers.authCancelled ? answer : refusal);
        this.#challenge(base64(tokenRefused.get(mechanism) ?? "{}"));
      });
    });
  }

  #external(text: string): void {
    const user = parseSaslText(text);
    if (user === undefined) {
      this.fault();
      return;
    }
    const peer = this.#session.facts.tls?.peer;
    const fail = (answer: Reply): void => this.#failed(user, answer);
    if (peer?.verified !== true) fail(answers.authFailed);
    else {
      const { subject, fingerprint } = peer;
      this.#authenticate({ mechanism: this.#ask.mechanism, user, subject, fingerprint }, fail);
    }
  }

  #authenticate(credentials: LoginCredentials, failed: (answer: Reply) => void): void {
    this.#session.run(this.#session.pipeline.authenticate(credentials), (outcome) => {
      if ("identity" in outcome) this.#succeeded(outcome.identity);
      else this.#refused(outcome, failed);
    });
  }

  /** Nobody is logged in: because of the client (`failed`), or for now. */
  #refused(
    outcome: Exclude<AuthOutcome, { readonly identity: Identity }>,
    failed: (answer: Reply) => void,
  ): void {
    const refused = "refused" in outcome ? refusalReply(outcome.refused) : answers.authFailed;
    if (refused.code >= 500) failed(refused);
    else this.#over(refused, false);
  }

  #challenge(text: string): void {
    this.#session.send(reply(334, "", text));
  }

  #succeeded(identity: Identity): void {
    this.#session.authOver(identity, false);
    this.#session.say(this.#ask, answers.authOk);
  }

  #failed(user: string, answer: Reply = answers.authFailed): void {
    this.#failedLater(user, () => this.#refuse(answer));
  }

  /** Tells of a failure at once, and goes on when the client has waited for it. */
  #failedLater(user: string, then: () => void): void {
    const { delay, failures, log } = this.#limits;
    const { facts, pipeline } = this.#session;
    log.event("warn", "login failed", { id: facts.id, client: facts.remote.address, user });
    pipeline.loginFailed(user);
    this.#session.run(Effect.sleep(delay * (failures + 1)), then);
  }

  /** The reply to a failure; the last one ends the session. */
  #refuse(answer: Reply): void {
    if (this.#limits.failures + 1 < this.#limits.limit) {
      this.#over(answer, true);
      return;
    }
    this.#session.authOver(undefined, true);
    this.#session.send(answer);
    this.#session.close(answers.authTooMany);
  }

  #over(answer: Reply, failed: boolean): void {
    this.#session.authOver(undefined, failed);
    this.#session.say(this.#ask, answer);
  }
}

/** Acting for somebody else is nobody's right here (RFC 4616 section 2, R16). */
function isForeign(authzid: string, authcid: string): boolean {
  return authzid !== "" && authzid !== authcid;
}

function base64(text: string): string {
  return encodeBase64(new TextEncoder().encode(text));
}
