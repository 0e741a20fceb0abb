/** R19: which recipients go where, and which nowhere. */
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import type { RouteSettings } from "../../src/settings/settings.ts";
import { Routes } from "../../src/upstream/routes.ts";

type Rule = Partial<RouteSettings> & { readonly upstream: string };
type Question = Partial<Parameters<Routes["find"]>[0]> & { readonly domain: string };

const routes = (...rules: readonly Rule[]): Routes =>
  new Routes(
    rules.map((rule) => ({
      to: undefined,
      authenticated: undefined,
      listeners: undefined,
      ...rule,
    })),
    "MX.example.org",
  );

interface Row {
  readonly name: string;
  readonly rules: readonly Rule[];
  /** Domain, or the whole question, and the upstream. */
  readonly finds: readonly (readonly [string | Question, string | undefined])[];
}

const rows: readonly Row[] = [
  { name: "no route, no relaying", rules: [], finds: [["a.test", undefined], ["", undefined]] },
  {
    name: "an exact domain and nothing else",
    rules: [{ to: ["a.test"], upstream: "one" }],
    finds: [
      ["a.test", "one"],
      ["b.a.test", undefined],
      ["xa.test", undefined],
      ["a.test.evil", undefined],
      ["test", undefined],
      ["constructor", undefined],
      ["__proto__", undefined],
    ],
  },
  {
    name: "a wildcard: any depth, not the domain itself, no part of a label",
    rules: [{ to: ["*.a.test"], upstream: "one" }],
    finds: [
      ["b.a.test", "one"],
      ["d.c.b.a.test", "one"],
      ["a.test", undefined],
      ["ba.test", undefined],
      ["b.a.test.evil", undefined],
      ["*.a.test", "one"],
    ],
  },
  {
    name: "several domains of one route",
    rules: [{ to: ["a.test", "*.a.test", "b.test"], upstream: "one" }],
    finds: [["a.test", "one"], ["x.a.test", "one"], ["b.test", "one"], ["x.b.test", undefined]],
  },
  {
    name: "every recipient",
    rules: [{ upstream: "one" }],
    finds: [["a.test", "one"], ["[192.0.2.1]", "one"], ["", "one"]],
  },
  {
    name: "an empty list matches nobody",
    rules: [{ to: [], upstream: "one" }],
    finds: [["a.test", undefined]],
  },
  {
    name: "an address literal is a domain like another",
    rules: [{ to: ["[192.0.2.1]"], upstream: "one" }],
    finds: [["[192.0.2.1]", "one"], ["192.0.2.1", undefined], ["[192.0.2.2]", undefined]],
  },
  {
    name: "the first match wins, not the best",
    rules: [
      { to: ["*.a.test"], upstream: "one" },
      { to: ["b.a.test"], upstream: "two" },
      { to: ["a.test"], upstream: "three" },
      { upstream: "four" },
    ],
    finds: [["b.a.test", "one"], ["a.test", "three"], ["c.test", "four"]],
  },
  {
    name: "authenticated or not",
    rules: [
      { to: ["a.test"], authenticated: false, upstream: "in" },
      { authenticated: true, upstream: "out" },
    ],
    finds: [
      ["a.test", "in"],
      [{ domain: "a.test", authenticated: true }, "out"],
      [{ domain: "b.test", authenticated: true }, "out"],
      ["b.test", undefined],
    ],
  },
  {
    name: "listeners",
    rules: [
      { listeners: ["submission"], upstream: "out" },
      { to: ["a.test"], listeners: ["mx", "alt"], upstream: "in" },
    ],
    finds: [
      ["a.test", "in"],
      [{ domain: "a.test", listener: "alt" }, "in"],
      [{ domain: "a.test", listener: "submission" }, "out"],
      [{ domain: "a.test", listener: "other" }, undefined],
      ["b.test", undefined],
      [{ domain: "b.test", listener: "submission" }, "out"],
    ],
  },
  {
    name: "R20: a bare postmaster goes where the host name goes (RFC 5321 section 4.5.1)",
    rules: [
      { to: ["a.test"], upstream: "one" },
      { to: ["mx.example.org"], upstream: "two" },
    ],
    finds: [["", "two"]],
  },
  {
    name: "R20: a bare postmaster goes to the first local route where the host name has none",
    rules: [
      { to: ["c.test"], authenticated: true, upstream: "zero" },
      { to: ["a.test"], upstream: "one" },
      { to: ["b.test"], upstream: "two" },
    ],
    finds: [["", "one"], [{ domain: "", authenticated: true }, "zero"]],
  },
  {
    name: "R19: a bare postmaster opens no relay",
    rules: [{ authenticated: true, upstream: "out" }],
    finds: [["", undefined], [{ domain: "", authenticated: true }, "out"]],
  },
];

describe("Routes.find", () => {
  for (const { name, rules, finds } of rows) {
    test(`R19: ${name}`, () => {
      const table = routes(...rules);
      for (const [asked, upstream] of finds) {
        const question = typeof asked === "string" ? { domain: asked } : asked;
        const full = { listener: "mx", authenticated: false, ...question };
        assert.equal(table.find(full), upstream, JSON.stringify(full));
      }
    });
  }

  test("a domain of as many labels as there can be", () => {
    const domain = `${"a.".repeat(125)}test`;
    const question = { domain, listener: "mx", authenticated: false };
    assert.equal(routes({ to: ["*.b.test"], upstream: "one" }).find(question), undefined);
    assert.equal(routes({ to: ["*.test"], upstream: "one" }).find(question), "one");
  });
});

describe("Routes.reachable", () => {
  test("the upstreams of a listener's routes, whoever the client is", () => {
    const table = routes(
      { to: ["a.test"], upstream: "one" },
      { authenticated: true, upstream: "two" },
      { listeners: ["alt"], upstream: "three" },
      { to: ["b.test"], upstream: "one" },
    );
    assert.deepEqual([...table.reachable("mx")], ["one", "two"]);
    assert.deepEqual([...table.reachable("alt")], ["one", "two", "three"]);
    assert.deepEqual([...routes().reachable("mx")], []);
  });
});
