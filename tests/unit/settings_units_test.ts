/** Durations and sizes. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { duration, LONGEST_DURATION, size } from "../../src/settings/units.ts";

test("durations, in milliseconds", () => {
  const table: [string, number][] = [
    ["250ms", 250],
    ["30s", 30_000],
    ["5m", 300_000],
    ["1h", 3_600_000],
    ["1d", 86_400_000],
    ["1h30m", 5_400_000],
    ["0s", 0],
    ["1.5s", 1500],
    ["24d", LONGEST_DURATION],
  ];
  for (const [text, expected] of table) assert.equal(duration(text), expected, text);
});

test("no durations", () => {
  const texts = [
    "",
    "5",
    "s",
    "5 s",
    "-5s",
    "5S",
    "5min",
    "1e3s",
    "5s ",
    "0.5ms",
    "1h 30m",
    "9".repeat(99) + "s",
  ];
  for (const text of texts) assert.equal(duration(text), undefined, text);
});

test("a duration that no timer can hold is refused, not fired at once", () => {
  for (const text of ["25d", "24d1ms", "9999h"]) assert.equal(duration(text), undefined, text);
  assert.ok(LONGEST_DURATION < 2 ** 31);
});

test("sizes, in octets", () => {
  const table: [string | number, number][] = [
    ["25MiB", 26_214_400],
    ["10KB", 10_000],
    ["1KiB", 1024],
    ["512B", 512],
    ["2GB", 2_000_000_000],
    ["1GiB", 1_073_741_824],
    ["1MB", 1_000_000],
    ["1.5KiB", 1536],
    [1000, 1000],
    [0, 0],
  ];
  for (const [value, expected] of table) assert.equal(size(value), expected, String(value));
});

test("no sizes", () => {
  const values = [
    "",
    "25",
    "25mb",
    "25 MiB",
    "MiB",
    "-1KB",
    "1.5B",
    "1e3KB",
    -1,
    1.5,
    NaN,
    Infinity,
    2 ** 53,
  ];
  for (const value of values) assert.equal(size(value), undefined, String(value));
});
