/** Suggestions for misspelt words. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { didYouMean, nearest } from "../../src/settings/nearest.ts";

const WORDS = ["upstream", "listeners", "hostname", "tls", "ca", "message_size"];

test("one slip is found: missing, doubled, wrong, swapped", () => {
  for (const word of ["uptream", "upsttream", "upstreem", "upsrteam"]) {
    assert.equal(nearest(word, WORDS), "upstream", word);
  }
  assert.equal(nearest("tsl", WORDS), "tls");
});

test("case, hyphens and underscores do not count", () => {
  assert.equal(nearest("messageSize", WORDS), "message_size");
  assert.equal(nearest("MESSAGE-SIZE", WORDS), "message_size");
});

test("a strange word gets no suggestion", () => {
  for (const word of ["", "x", "xx", "ab", "colour", "tls_certificates", "constructor"]) {
    assert.equal(nearest(word, WORDS), undefined, word);
  }
});

test("the nearest wins, and the first of equals", () => {
  assert.equal(nearest("routed", ["router", "route", "routes"]), "router");
  assert.equal(nearest("router", ["routers", "router"]), "router");
});

test("R33: words without end are not compared", () => {
  assert.equal(nearest("a".repeat(1_000_000), ["a".repeat(1_000_000)]), undefined);
});

test("the tail of a message", () => {
  assert.equal(didYouMean("serv", ["serve", "send"]), '; did you mean "serve"?');
  assert.equal(didYouMean("zzzz", ["serve", "send"]), "");
});
