import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, test } from "node:test";
import { passwords } from "../../src/pipeline/passwords.ts";
import {
  checkScram,
  decoyScram,
  formatScram,
  matchesScram,
  parseScram,
  SCRAM_ITERATIONS,
  scramSecret,
} from "../../src/pipeline/scram.ts";
import type { Authenticator, ScramResult } from "../../src/plugin/module.ts";
import { scramAnswer } from "../support/scram_client.ts";
import { engine, hooks } from "./pipeline_host.ts";

/** RFC 7677 section 3; the keys are those that GNU SASL computes of it. */
const rfc = {
  salt: Buffer.from("W22ZaJ0SNY7soEsUEjb6gQ==", "base64"),
  hash: "{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==," +
    "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
  bare: "n=user,r=rOprNGfwEbeRWgbNEkqO",
  serverFirst:
    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
  withoutProof: "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
  proof: Buffer.from("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=", "base64"),
  signature: "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
};
const authMessage = `${rfc.bare},${rfc.serverFirst},${rfc.withoutProof}`;

describe("the example of RFC 7677", () => {
  test("gives the secret that GNU SASL and Dovecot keep", async () => {
    const secret = await scramSecret("pencil", rfc.salt, 4096);
    assert.equal(formatScram(secret!), rfc.hash);
    assert.deepEqual(parseScram(rfc.hash), secret);
  });

  test("its proof is right, its signature ours; any other proof is wrong", () => {
    const secret = parseScram(rfc.hash)!;
    assert.deepEqual(checkScram(secret, authMessage, rfc.proof), {
      proved: true,
      signature: rfc.signature,
    });
    for (let i = 0; i < rfc.proof.length; i++) {
      const proof = Uint8Array.from(rfc.proof);
      proof[i]! ^= 1;
      assert.equal(checkScram(secret, authMessage, proof).proved, false);
    }
    assert.equal(checkScram(secret, `${authMessage}x`, rfc.proof).proved, false);
    for (
      const proof of [
        new Uint8Array(),
        rfc.proof.subarray(1),
        Buffer.concat([rfc.proof, rfc.proof]),
      ]
    ) {
      assert.equal(checkScram(secret, authMessage, proof).proved, false);
    }
  });
});

describe("secrets", () => {
  test("are verified against a password, by edge.passwords too", async () => {
    const secret = (await scramSecret("correct horse"))!;
    assert.equal(secret.iterations, SCRAM_ITERATIONS);
    assert.equal(await matchesScram(secret, "correct horse"), true);
    assert.equal(await matchesScram(secret, "correct horsf"), false);
    assert.equal(await passwords.verify(formatScram(secret), "correct horse"), true);
    assert.equal(await passwords.verify(formatScram(secret), ""), false);
    await assert.rejects(passwords.verify("{SCRAM-SHA-256}12,x,y,z", "p"), /malformed SCRAM/);
  });

  test("SASLprep makes one password of its spellings, and refuses what is none (RFC 4013)", async () => {
    const secret = (await scramSecret("I\u00adX\u00a0\u2168", rfc.salt, 4096))!;
    assert.equal(await matchesScram(secret, "IX IX"), true);
    assert.equal(await scramSecret("\u0007", rfc.salt, 4096), undefined);
    assert.equal(await scramSecret("\u0627\u0031", rfc.salt, 4096), undefined);
    assert.equal(await scramSecret("\u00ad", rfc.salt, 4096), undefined);
    assert.equal(await matchesScram(secret, "\u0007"), false);
    const empty = (await scramSecret("x", rfc.salt, 4096))!;
    assert.equal(await matchesScram(empty, "\u00ad"), false);
  });

  test("that are malformed, cheap or ruinous are none", () => {
    const key = "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=";
    const good = `4096,W22ZaJ0SNY7soEsUEjb6gQ==,${key},${key}`;
    assert.ok(parseScram(`{SCRAM-SHA-256}${good}`));
    for (
      const bad of [
        `{SCRAM-SHA-1}${good}`,
        `{scram-sha-256}${good}`,
        good,
        `{SCRAM-SHA-256}${good},${key}`,
        `{SCRAM-SHA-256}4095,W22ZaJ0SNY7soEsUEjb6gQ==,${key},${key}`,
        `{SCRAM-SHA-256}1000001,W22ZaJ0SNY7soEsUEjb6gQ==,${key},${key}`,
        `{SCRAM-SHA-256}04096,W22ZaJ0SNY7soEsUEjb6gQ==,${key},${key}`,
        `{SCRAM-SHA-256}4096,,${key},${key}`,
        `{SCRAM-SHA-256}4096,W22Z!,${key},${key}`,
        `{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==,${key},${key.slice(4)}`,
        `{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==,${key}`,
      ]
    ) assert.equal(parseScram(bad), undefined, bad);
  });

  test("R16: an unknown login has one, always the same, like any other, and no proof is right", () => {
    const one = decoyScram("nobody", { iterations: 60_000 });
    assert.deepEqual(decoyScram("nobody", { iterations: 60_000 }), one);
    assert.notEqual(decoyScram("somebody", { iterations: 60_000 }).salt, one.salt);
    assert.ok(parseScram(formatScram(one)));
    assert.equal(Buffer.from(one.salt, "base64").length, 16);
    const short = decoyScram("nobody", { iterations: 60_000, saltSize: 12 });
    assert.equal(Buffer.from(short.salt, "base64").length, 12);
    assert.equal(checkScram(one, authMessage, rfc.proof).proved, false);
  });
});

describe("authenticators of SCRAM", () => {
  const secret = parseScram(rfc.hash)!;
  const told: ScramResult[] = [];
  const auth = (over: Partial<Authenticator>): Authenticator => ({
    mechanisms: ["SCRAM-SHA-256"],
    scram: () => secret,
    scramChecked: (result) => {
      told.push(result);
      return { user: result.user, mechanism: "x" };
    },
    ...over,
  });
  const exchange = async (...all: readonly Partial<Authenticator>[]) => {
    told.length = 0;
    const given = all.map((over, i) => hooks(`p${i}`, { auth: auth(over) }));
    const { session, run, host } = await engine(given);
    const opening = await run(session.openScram("user"));
    return { opening, session, run, host };
  };
  const close = async (proof: Uint8Array, ...all: readonly Partial<Authenticator>[]) => {
    const { opening, session, run, host } = await exchange(...all);
    assert.ok("secret" in opening);
    const closed = await run(session.closeScram(opening, authMessage, proof));
    return { ...closed, host };
  };

  test("the one that gave the secret says who it is; the signature is for him alone", async () => {
    const { outcome, signature } = await close(rfc.proof, { scram: () => undefined }, {});
    assert.deepEqual(outcome, {
      identity: { user: "user", mechanism: "SCRAM-SHA-256" },
      plugin: "p1",
    });
    assert.equal(signature, rfc.signature);
    assert.deepEqual(told, [{ mechanism: "SCRAM-SHA-256", user: "user", proved: true }]);
  });

  test("R16: without a right proof nobody is let in, whatever a plugin says", async () => {
    const { outcome, signature } = await close(new Uint8Array(32), {});
    assert.deepEqual([outcome, signature], [{ none: true }, ""]);
    assert.equal(told[0]?.proved, false);
    const known = await close(rfc.proof, { scram: () => ({ iterations: 4096 }) });
    assert.deepEqual(known.outcome, { none: true });
    assert.equal(told[0]?.proved, false);
    const nobody = await close(rfc.proof, { scram: () => undefined });
    assert.deepEqual(nobody.outcome, { none: true });
    assert.equal(told.length, 0);
  });

  test("a right proof may still be refused: a lock, an account that is closed", async () => {
    const refusal = { verdict: "refuse", code: 535, enhanced: "5.7.8", text: "No" } as const;
    const { outcome } = await close(rfc.proof, { scramChecked: () => Promise.resolve(refusal) });
    assert.deepEqual(outcome, { refused: refusal, plugin: "p0" });
  });

  test("R38: nonsense, exceptions and a store that is down are a temporary failure", async () => {
    const down = { verdict: "defer", code: 454, enhanced: "4.7.0", text: "Later" } as const;
    const answers: readonly unknown[] = [
      down,
      {},
      7,
      { iterations: 1 },
      { iterations: 4096, saltSize: 33 },
      { iterations: 4096, salt: "x" },
      { ...secret, storedKey: "short" },
      { ...secret, iterations: "4096" },
      Promise.reject(new Error("no database")),
    ];
    for (const answer of answers) {
      const { opening, host } = await exchange({ scram: () => answer as never });
      assert.ok("refused" in opening, JSON.stringify(answer));
      assert.equal(opening.refused.code, 454);
      assert.equal(host.failures.length, answer === down ? 0 : 1);
    }
    for (const answer of [{}, { user: "" }, Promise.reject(new Error("no database"))]) {
      const { outcome } = await close(rfc.proof, { scramChecked: () => answer as never });
      assert.ok("refused" in outcome && outcome.refused.code === 454);
    }
  });

  test("a shadow one has no effect", async () => {
    const { session, run } = await engine([
      hooks("shadow", { auth: auth({}) }, { mode: "shadow" }),
    ]);
    const opening = await run(session.openScram("user"));
    assert.ok("secret" in opening && opening.by === undefined);
    assert.notDeepEqual(opening.secret, secret);
  });

  test("the client of the tests computes what the RFC's does", () => {
    const { final, signature } = scramAnswer("pencil", "n,,", rfc.bare, rfc.serverFirst);
    assert.equal(final, `${rfc.withoutProof},p=${rfc.proof.toString("base64")}`);
    assert.equal(signature, rfc.signature);
  });
});
