/** Network text made safe for logs, traces and comments. */
import { test } from "node:test";
import assert from "node:assert/strict";
import { commentText, printable } from "../../src/wire/printable.ts";

test("R26: control characters, the backslash and non-ASCII become \\xNN", () => {
  assert.equal(printable("plain (text)", 100), "plain (text)");
  assert.equal(printable("a\r\nb\0\x1b[31m\x7f", 100), "a\\x0D\\x0Ab\\x00\\x1B[31m\\x7F");
  assert.equal(
    printable("\u00e4\u2028\u{1f600}", 100),
    "\\xC3\\xA4\\xE2\\x80\\xA8\\xF0\\x9F\\x98\\x80",
  );
  assert.equal(printable("\\x0D", 100), "\\x5Cx0D");
});

test("R25: a comment cannot be closed or opened from inside", () => {
  assert.equal(commentText("a) by evil (b", 100), "a\\x29 by evil \\x28b");
  assert.equal(commentText("a\\", 100), "a\\x5C");
});

test("cuts to the length asked for, never inside an escape", () => {
  assert.equal(printable("abcdef", 6), "abcdef");
  assert.equal(printable("abcdefg", 6), "abc...");
  assert.equal(printable("a\0\0\0", 12), "a\\x00\\x00...");
  assert.equal(printable("a\0\0", 9), "a\\x00\\x00");
  assert.equal(printable("\0\0", 5), "...");
  assert.equal(printable("abcdef", 2), "..");
  assert.equal(printable("abc", 0), "");
  assert.equal(printable("x".repeat(1e6), 10), "xxxxxxx...");
});
