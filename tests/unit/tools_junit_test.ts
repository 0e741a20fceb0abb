/** Counting what `deno test` and `bun test` report. @module */
import assert from "node:assert/strict";
import { test } from "node:test";
import { tally } from "../../tools/junit.ts";

test("a report of deno test counts tests, and not the groups they stand in", () => {
  assert.deepEqual(
    tally(`<testsuites name="deno test" tests="10" failures="2" errors="0" time="0.1">
    <testsuite name="./a_test.ts" tests="5" disabled="2" errors="0" failures="1">
        <testcase name="top &lt;ok&gt;" classname="./a_test.ts" time="0.003" line="3" col="1">
        </testcase>
        <testcase name="not here" classname="./a_test.ts" time="0.000" line="4" col="6">
            <skipped/>
        </testcase>
        <testcase name="group" classname="./a_test.ts" time="0.009" line="6" col="1">
            <failure message="1 test step failed">1 test step failed.</failure>
        </testcase>
    </testsuite>
    <testsuite name="ext:deno_node/testing.ts" tests="4" disabled="0" errors="0" failures="1">
        <testcase name="group &gt; good" classname="ext:deno_node/testing.ts" time="0.001">
        </testcase>
        <testcase name="group &gt; bad" classname="ext:deno_node/testing.ts" time="0.003">
            <failure message="Uncaught AssertionError: 1 !== 2">AssertionError</failure>
        </testcase>
        <testcase name="group &gt; deep" classname="ext:deno_node/testing.ts" time="0.002">
        </testcase>
        <testcase name="group &gt; deep &gt; inner" classname="ext:deno_node/testing.ts" time="0">
        </testcase>
    </testsuite>
</testsuites>`),
    { passed: 3, skipped: 1, failed: ["group > bad"] },
  );
});

test("a report of bun test names a test by its groups, the outermost first", () => {
  assert.deepEqual(
    tally(`<testsuites name="bun test" tests="4" failures="1" skipped="1" time="0.04">
  <testsuite name="a_test.ts" file="a_test.ts" tests="3" failures="1" skipped="1">
    <testcase name="top" classname="" time="0.001" file="a_test.ts" line="3" assertions="0" />
    <testcase name="skipped" classname="" time="0" file="a_test.ts" line="4" assertions="0">
      <skipped />
    </testcase>
    <testsuite name="group" file="a_test.ts" line="6" tests="2">
      <testsuite name="deep" file="a_test.ts" line="6" tests="1">
        <testcase name="bad" classname="deep &gt; group" time="0.1" file="a_test.ts" line="6">
          <failure type="AssertionError" message="1 !== 2&#10;">at a_test.ts:6:88</failure>
        </testcase>
      </testsuite>
    </testsuite>
  </testsuite>
</testsuites>`),
    { passed: 1, skipped: 1, failed: ["group > deep > bad"] },
  );
});

test("a group that failed by itself counts", () => {
  assert.deepEqual(
    tally(`<testcase name="group" classname="./a_test.ts"><failure message="Error: in before">
      </failure></testcase><testcase name="group &gt; good" classname="ext:x"></testcase>`),
    { passed: 1, skipped: 0, failed: ["group"] },
  );
});
