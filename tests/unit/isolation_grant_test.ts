/** What a manifest asks for against what is granted. */
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import { coversPath, grant } from "../../src/isolation/grant.ts";

const resolve = (path: string): string => path.startsWith("/") ? path : `/etc/postern/${path}`;

function granted(
  asked: { readonly net?: readonly string[]; readonly read?: readonly string[] },
  given: { readonly net?: readonly string[]; readonly read?: readonly string[] },
) {
  return grant(
    "./p.ts",
    { net: asked.net ?? [], read: asked.read ?? [] },
    { net: given.net ?? [], read: given.read ?? [] },
    resolve,
  );
}

describe("grants", () => {
  test("what is asked for and granted is given, and nothing else", () => {
    assert.deepEqual(
      granted(
        { net: ["a.test:443"], read: ["lists/a"] },
        { net: ["A.test", "b.test"], read: ["lists", "/var"] },
      ),
      { rights: { net: ["a.test:443"], read: ["/etc/postern/lists/a"] } },
    );
    assert.deepEqual(granted({}, { net: ["*"], read: ["*"] }), { rights: { net: [], read: [] } });
  });

  test("a star asks for what is named, or for everything", () => {
    assert.deepEqual(granted({ net: ["*"] }, { net: ["a.test:25"] }), {
      rights: { net: ["a.test:25"], read: [] },
    });
    assert.deepEqual(granted({ net: ["*"], read: ["*"] }, { net: ["*"], read: ["x", "*"] }), {
      rights: { net: true, read: true },
    });
  });

  test("what is not granted is named, with what is", () => {
    for (
      const [asked, given] of [
        [{ net: ["a.test"] }, { net: ["a.test:443"] }],
        [{ net: ["a.test:443"] }, { net: ["a.test:25"] }],
        [{ net: ["xa.test"] }, { net: ["a.test"] }],
        [{ net: ["*"] }, {}],
        [{ read: ["/etc/post"] }, { read: ["/etc/postern"] }],
        [{ read: ["/etc/posternal"] }, { read: ["/etc/postern"] }],
      ] as const
    ) {
      const answer = granted(asked, given);
      assert.ok("refused" in answer, JSON.stringify(asked));
      assert.match(answer.refused, /^\.\/p\.ts asks .* grant\.(?:net|read) = \[/);
    }
  });

  test("a folder covers what is in it, by whole names", () => {
    assert.ok(coversPath("/a/b", "/a/b"));
    assert.ok(coversPath("/a/b", "/a/b/c"));
    assert.ok(coversPath("/", "/a"));
    assert.ok(!coversPath("/a/b", "/a/bc"));
    assert.ok(!coversPath("/a/b", "/a"));
  });
});
