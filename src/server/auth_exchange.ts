/**
 * AUTH (RFC 4954): PLAIN (RFC 4616) and LOGIN, with and without initial response, cancelled with `*`. Wrong credentials and
 * unknown users get the same answer (R16); each failure makes the next answer later, the last one ends the session (R17).
 * Nothing a client sends here reaches a log (R18).
 * @module
 */
import * as Effect from "effect/Effect";
import type { Credentials } from "../plugin/module.ts";
import type { Ask } from "../session/server.ts";
import type { Log } from "../telemetry/log.ts";
import {
  decodeBase64,
  LOGIN_PASSWORD,
  LOGIN_USERNAME,
  parseLoginAnswer,
  parsePlain,
} from "../wire/sasl.ts";
import { type Reply, reply } from "../wire/reply.ts";
import { answers, refusalReply } from "./answers.ts";
import type { Session } from "./session.ts";

/** RFC 4954 section 4: a line of a SASL exchange. */
const saslLine = 12_288;

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
  #user: string | undefined;

  constructor(session: Session, ask: Extract<Ask, { ask: "auth" }>, limits: AuthLimits) {
    this.#session = session;
    this.#ask = ask;
    this.#limits = limits;
  }

  /** The initial response, or the first challenge. */
  begin(): void {
    this.#session.receiver.sasl(saslLine);
    const { mechanism, initial } = this.#ask;
    if (initial !== undefined) this.line(initial === "=" ? "" : initial);
    else this.#challenge(mechanism === "LOGIN" ? LOGIN_USERNAME : "");
  }

  /** The client's response. */
  line(text: string): void {
    if (text === "*") this.#over(answers.authCancelled, false);
    else if (this.#ask.mechanism === "LOGIN") this.#login(text);
    else this.#plain(text);
  }

  /** A line that is none. */
  fault(): void {
    this.#over(answers.authMalformed, false);
  }

  #plain(text: string): void {
    const octets = decodeBase64(text);
    const given = octets === undefined ? undefined : parsePlain(octets);
    if (given === undefined) {
      this.#over(answers.authMalformed, false);
      return;
    }
    // Acting for somebody else is nobody's right here (RFC 4616 section 2, R16).
    if (given.authzid !== "" && given.authzid !== given.authcid) this.#failed(given.authcid);
    else this.#verify(given.authcid, given.password);
  }

  #login(text: string): void {
    const value = parseLoginAnswer(text);
    if (value === undefined) {
      this.#over(answers.authMalformed, false);
      return;
    }
    if (this.#user === undefined) {
      this.#user = value;
      this.#challenge(LOGIN_PASSWORD);
    } else this.#verify(this.#user, value);
  }

  #challenge(text: string): void {
    this.#session.send(reply(334, "", text));
  }

  #verify(user: string, password: string): void {
    const { mechanism } = this.#ask;
    const credentials: Credentials = { mechanism, user, password };
    this.#session.run(this.#session.pipeline.authenticate(credentials), (outcome) => {
      if ("identity" in outcome) {
        this.#session.authOver(outcome.identity, false);
        this.#session.say(this.#ask, answers.authOk);
        return;
      }
      const refused = "refused" in outcome ? refusalReply(outcome.refused) : answers.authFailed;
      if (refused.code >= 500) this.#failed(user, refused);
      else this.#over(refused, false);
    });
  }

  #failed(user: string, answer: Reply = answers.authFailed): void {
    const { delay, failures, limit, log } = this.#limits;
    const { facts, pipeline } = this.#session;
    log.event("warn", "login failed", { id: facts.id, client: facts.remote.address, user });
    pipeline.loginFailed(user);
    const last = failures + 1 >= limit;
    this.#session.run(Effect.sleep(delay * (failures + 1)), () => {
      if (!last) {
        this.#over(answer, true);
        return;
      }
      this.#session.authOver(undefined, true);
      this.#session.send(answer);
      this.#session.close(answers.authTooMany);
    });
  }

  #over(answer: Reply, failed: boolean): void {
    this.#session.authOver(undefined, failed);
    this.#session.say(this.#ask, answer);
  }
}
