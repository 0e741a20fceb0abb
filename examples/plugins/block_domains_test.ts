import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { fakeEdge } from "../../tests/support/fake_edge.ts";
import { headerView, mailbox, transaction } from "../../tests/support/fake_facts.ts";
import blockDomains from "./block-domains.ts";

const { hooks } = blockDomains(fakeEdge(), { domains: ["spam.test"] });

test("refuses recipients of the domains, in any case, and has no opinion on others", () => {
  assert.deepEqual(hooks.rcpt(mailbox("a@SPAM.test")), {
    verdict: "refuse",
    code: 550,
    enhanced: "5.7.1",
    text: "Recipient not accepted here",
  });
  assert.equal(hooks.rcpt(mailbox("a@example.org")), undefined);
});

test("marks the header and gives points to big messages", () => {
  const view = headerView("Subject: x");
  hooks.header(view);
  assert.deepEqual(view.result(), ["Subject: x", "X-Edge-Seen: 1"]);
  const points = (size: number) => hooks.end(transaction({ size })).points;
  assert.deepEqual([points(1000), points(21e6)], [0, 2]);
});

test("the examples import types only, so that they run beside a compiled binary", () => {
  const folder = new URL("./", import.meta.url);
  const files = readdirSync(folder).filter((name) =>
    name.endsWith(".ts") && !name.endsWith("_test.ts") && name !== "address-reputation.ts"
  );
  assert.ok(files.length >= 6);
  for (const file of files) {
    const text = readFileSync(new URL(file, folder), "utf8");
    for (const line of text.match(/^import .*/gm) ?? []) assert.match(line, /^import type/, file);
  }
});
