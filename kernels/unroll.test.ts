import { expect, it } from "vitest";
import { unroll } from "./unroll.ts";

it("repeats blocks within blocks, counting each up from 0", () => {
  const text = [
    "a",
    "// for g < GROUPS",
    "b$g",
    "  // for s < SHARED_LOAD_LANES",
    "  c$g_$s($su)",
    "  // end",
    "// end",
    "d",
  ];
  expect(unroll(text.join("\n"), { GROUPS: 2, SHARED_LOAD_LANES: 2 }).split("\n")).toEqual([
    "a",
    "b0",
    "  c0_0(0u)",
    "  c0_1(1u)",
    "b1",
    "  c1_0(0u)",
    "  c1_1(1u)",
    "d",
  ]);
});

it.each([
  ["// for r < ROWS\nx\n// end", { GROUPS: 1 }, "line 1: ROWS is unknown"],
  ["x\n// for r < ROWS\nx", { ROWS: 1 }, 'line 2: no "// end"'],
  ["x\n// end\ny", {}, '"// end" in line 2 ends nothing'],
])("names the line that is wrong in %j", (text, counts, message) => {
  expect(() => unroll(text, counts)).toThrow(message);
});
