import { expect, it } from "vitest";
import { cutSegments } from "./segments.ts";

it("covers a cue of any length with segments of one length, in order, from its first token to its last", () => {
  for (let length = 1; length <= 600; length++) {
    const { span, ends } = cutSegments([length]);
    const [own] = ends;
    expect(Number.isInteger(Math.log2(span))).toBe(true);
    expect(own![0]).toBe(span - 1);
    expect(own!.at(-1)).toBe(length - 1);
    own!.slice(1).forEach((end, i) => {
      expect(end).toBeGreaterThan(own![i]!);
      expect(end - own![i]!).toBeLessThanOrEqual(span);
    });
  }
});

it.each([
  [1, 1, 1],
  [3, 2, 2],
  [16, 2, 8],
  [48, 4, 12],
  [511, 32, 16],
  [8192, 32, 256],
])("cuts %i tokens into segments of %i: %i", (length, span, count) => {
  const cut = cutSegments([length]);
  expect([cut.span, cut.ends[0]!.length]).toEqual([span, count]);
});

it("cuts all cues of a search alike, as suits the shortest", () => {
  const { span, ends } = cutSegments([49, 16, 48]);
  expect(span).toBe(2);
  expect(ends.map((own) => own.length)).toEqual([25, 8, 24]);
});
