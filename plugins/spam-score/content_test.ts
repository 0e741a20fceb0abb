import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { Collector, Content, deepestOctet, mostText } from "./content.ts";
import { isAscii, toText, undo } from "./decode.ts";
import { decodeEntities, readHtml } from "./html.ts";
import { mostParts, structure } from "./mime.ts";
import { parseUri, urisInText } from "./uris.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const text = (octets: Uint8Array) => new TextDecoder().decode(octets);
const header = (type: string, encoding?: string) => ({ type, encoding, disposition: undefined });

describe("parts", () => {
  const walk = (body: string, type: string) => {
    const octets = bytes(body);
    const { parts, oddities } = structure(octets, header(type));
    const read = parts.map((part) => `${part.type}:${text(octets.subarray(part.start, part.end))}`);
    return { read, oddities: [...oddities] };
  };

  test("stand between boundaries; preamble and epilogue are nobody's", () => {
    const body = "preamble\r\n--b\r\n\r\none\r\n--b \r\nContent-Type: text/html\r\n\r\n<p>\r\n" +
      "two\r\n--b--\r\n--b\r\n\r\nafter\r\n";
    assert.deepEqual(walk(body, 'Multipart/Mixed; BOUNDARY="b"').read.slice(0, 2), [
      "text/plain:one",
      "text/html:<p>\r\ntwo",
    ]);
  });

  test("a boundary that begins another one is not it", () => {
    const inner =
      'Content-Type: multipart/alternative; boundary="bb"\r\n\r\n--bb\r\n\r\nx\r\n--bb--\r\n';
    assert.deepEqual(
      walk(`--b\r\n${inner}\r\n--b\r\n\r\ny\r\n--b--\r\n`, "multipart/mixed; boundary=b"),
      {
        read: ["text/plain:x", "text/plain:y"],
        oddities: [],
      },
    );
  });

  test("an outer boundary ends what is open inside", () => {
    const inner = "Content-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\nx\r\n";
    assert.deepEqual(
      walk(`--b\r\n${inner}--b\r\n\r\ny\r\n--b--\r\n`, "multipart/mixed; boundary=b"),
      {
        read: ["text/plain:x", "text/plain:y"],
        oddities: ["unclosed"],
      },
    );
  });

  test("a message inside the message is read as well", () => {
    const body = "Subject: inner\r\nContent-Type: text/html\r\n\r\n<p>x\r\n";
    assert.deepEqual(walk(body, "message/rfc822").read, ["text/html:<p>x"]);
  });

  test("names in all the forms of RFC 2231 and RFC 2047", () => {
    const named = (disposition: string) =>
      structure(bytes(""), { type: "image/png", encoding: undefined, disposition }).parts[0]!.name;
    assert.equal(named('attachment; filename="a \\"b\\".png"'), 'a "b".png');
    assert.equal(named("attachment; filename*=utf-8'en'%e2%82%ac.png"), "\u20ac.png");
    assert.equal(
      named("attachment; filename*0*=utf-8''%e2%82; filename*1*=%ac; filename*2=.png"),
      "\u20ac.png",
    );
    assert.equal(named('attachment; filename="=?utf-8?B?4oKs?=.png"'), "\u20ac.png");
    assert.equal(named("attachment; __proto__=x; filename=y"), "y");
  });

  test("R33: hostile structures are bounded", () => {
    const many = "--b\r\n\r\nx\r\n".repeat(5000);
    const { parts, oddities } = structure(bytes(many), header("multipart/mixed; boundary=b"));
    assert.equal(parts.length, mostParts);
    assert.ok(oddities.has("too-many"));
    let deep = "";
    for (let i = 0; i < 3000; i++) {
      deep += `--b\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n`;
    }
    assert.ok(
      structure(bytes(deep), header("multipart/mixed; boundary=b")).parts.length <= mostParts,
    );
  });
});

describe("R33: what is looked at grows with the input and not faster", () => {
  /** Counts the octets that are read, through a view that counts. */
  function reads(octets: Uint8Array, type: string): number {
    let count = 0;
    const counting = new Proxy(octets, {
      get(target, key) {
        if (key === "indexOf") {
          return (value: number, from: number) => {
            const found = target.indexOf(value, from);
            count += (found < 0 ? target.length : found + 1) - from;
            return found;
          };
        }
        if (typeof key === "string" && /^[0-9]+$/.test(key)) count++;
        const value = Reflect.get(target, key, target);
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
    structure(counting, header(type));
    return count;
  }

  for (
    const [name, unit] of [
      ["boundaries that are none", "--\r\n"],
      [
        "boundaries that nearly are",
        "--bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbx\r\n",
      ],
      ["boundaries with a long tail", `--b${" ".repeat(400)}x\r\n`],
      ["headers without an end", "--b\r\nX: y\r\n"],
      ["empty lines", "\r\n"],
      ["one long line", "x"],
    ] as const
  ) {
    test(name, () => {
      const type = `multipart/mixed; boundary=${"b".repeat(name.includes("nearly") ? 54 : 1)}`;
      const once = reads(bytes(unit.repeat(200)), type);
      const tenfold = reads(bytes(unit.repeat(2000)), type);
      assert.ok(tenfold <= 11 * once + 1000, `${once} and ${tenfold}`);
      assert.ok(tenfold <= 20 * unit.length * 2000, String(tenfold));
    });
  }
});

describe("encodings", () => {
  test("are undone, whatever the line ends; the broken rest is passed over", () => {
    const plain = (encoding: string, given: string) => text(undo(encoding, bytes(given)).octets);
    assert.equal(plain("quoted-printable", "a=3D=\r\nb=\nc=e2=82=AC"), "a=bc\u20ac");
    assert.equal(plain("base64", "SGVs\r\nbG8\r\n=\r\n"), "Hello");
    assert.equal(plain("7bit", "a=3D"), "a=3D");
    assert.ok(undo("quoted-printable", bytes("a=zz")).broken);
    assert.ok(undo("base64", bytes("SGVs!bG8=")).broken);
    assert.ok(!undo("quoted-printable", bytes("cut at the end=3")).broken);
    assert.equal(toText("windows-1251", Uint8Array.of(0xcf)), "\u041f");
    assert.equal(toText("no-such", bytes("\u20ac")), "\u20ac");
  });

  test("US-ASCII is told from the rest, at any place", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 30 }), fc.nat(3), (octets, cut) => {
        const part = octets.subarray(cut);
        assert.equal(isAscii(part), part.every((octet) => octet < 128));
      }),
    );
    assert.ok(isAscii(bytes("plain text of any length")));
  });

  test("base64 is undone as it was made", () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (octets) => {
      const encoded = btoa(String.fromCharCode(...octets));
      assert.deepEqual([...undo("base64", bytes(encoded)).octets], [...octets]);
    }));
  });
});

describe("HTML", () => {
  test("text as a person reads it, links, addresses, images", () => {
    const html = readHtml(
      "<html><head><style>p { color: red }</style><title>T</title></head><body>A&amp;B<br>C" +
        "<a href='https://a.example/?x&amp;y'>go <b>now</b></a> <IMG SRC=https://b.example/i.png>" +
        "<!-- not this --><script>nor() < this</script>D</body></html>",
    );
    assert.equal(html.text.replace(/\s+/g, " ").trim(), "T A&B Cgo now D");
    assert.deepEqual(html.urls, ["https://a.example/?x&y", "https://b.example/i.png"]);
    assert.deepEqual(html.links, [{ href: "https://a.example/?x&y", text: "go now" }]);
    assert.equal(html.images, 1);
  });

  test("character references", () => {
    assert.equal(decodeEntities("&#72;&#x65;&lt;&euro;&nosuch;&#0;&#x110000;&"), "He<\u20ac   &");
  });

  test("R33: no text makes it fail or look twice", () => {
    const unit = fc.constantFrom(..."<>!-/aAbp=\"' &;#x1\n", "<!--", "-->", "<script", "</style>");
    fc.assert(fc.property(fc.string({ unit, maxLength: 200 }), (html) => void readHtml(html)));
    for (const unit of ["<", "<!--", "<a href='", '<a b="', "<script>", "&", "&#", "<p ", "</"]) {
      assert.ok(readHtml(unit.repeat(20_000)).text.length <= 20_000 * (unit.length + 1), unit);
    }
  });
});

describe("addresses of the web", () => {
  test("their parts, also of those made to mislead", () => {
    const host = (url: string) => parseUri(url)?.host;
    assert.deepEqual(parseUri("http://user:pass@Host.Example:8081/p?q"), {
      scheme: "http",
      userinfo: "user:pass",
      host: "host.example",
      port: "8081",
      path: "/p?q",
    });
    assert.equal(host("https:\\\\evil.example\\x"), "evil.example");
    assert.equal(host("http:///evil.example"), "evil.example");
    assert.equal(host("http://[2001:db8::1]:80/"), "2001:db8::1");
    assert.equal(host("http://evil.example?x@good.example"), "evil.example");
    assert.equal(parseUri("mailto:a@b.example")?.scheme, "mailto");
    assert.equal(parseUri("/relative"), undefined);
    assert.equal(parseUri("java\tscript:alert(1)")?.scheme, "javascript");
  });

  test("stand in text", () => {
    assert.deepEqual(
      urisInText("See https://a.example/x, (http://b.example). Not ssh://c.example or ://d"),
      ["https://a.example/x", "http://b.example"],
    );
  });

  test("R33: no text makes them fail", () => {
    const unit = fc.constantFrom(..."htp:/\\@[]%.a1 \t<>", "http://", "://");
    fc.assert(fc.property(fc.string({ unit, maxLength: 200 }), (given) => {
      parseUri(given);
      urisInText(given);
    }));
  });
});

describe("the beginning of a body", () => {
  test("is kept whatever the cuts, to the bound, and the chunk is not kept", () => {
    fc.assert(fc.property(
      fc.array(fc.uint8Array({ maxLength: 50 }), { maxLength: 20 }),
      fc.integer({ min: 1, max: 300 }),
      (chunks, limit) => {
        const collector = new Collector(limit);
        for (const chunk of chunks) {
          const sent = chunk.slice();
          collector.feed(sent);
          sent.fill(0);
        }
        const whole = chunks.flatMap((chunk) => [...chunk]);
        assert.deepEqual([...collector.octets], whole.slice(0, limit));
        assert.equal(collector.complete, whole.length <= limit);
      },
    ));
  });

  test("is decoded to a bound, over all parts", () => {
    const part = `--b\r\nContent-Type: text/plain\r\n\r\n${"x".repeat(40_000)}\r\n`;
    const body = bytes(`${part.repeat(5)}--b--\r\n`);
    const content = new Content(body, header("multipart/mixed; boundary=b"));
    assert.equal(content.texts.reduce((sum, each) => sum + each.text.length, 0), mostText);
    assert.ok(body.length < deepestOctet);
  });
});
