import { describe, expect, it } from "vitest";
import { areaUnderRoc, distance, hitAt, mean, median } from "./measures.ts";

const hit = (position: number) => ({ position, length: 4, similarity: 1, confidence: 1 });

describe("a hit", () => {
  it("counts if one of the first k is within two tokens of any occurrence", () => {
    const hits = [hit(50), hit(98), hit(7)];
    expect([1, 2, 5].map((k) => hitAt(k, hits, [10, 100]))).toEqual([false, true, true]);
    expect(hitAt(5, hits, [103, 4])).toBe(false);
    expect(hitAt(1, [], [3])).toBe(false);
    expect(hitAt(5, hits, [])).toBe(false);
  });

  it("has the distance to the nearest occurrence", () => {
    expect(distance(60, [10, 100])).toBe(40);
    expect(distance(8, [10, 100])).toBe(2);
    expect(distance(8, [])).toBe(Number.POSITIVE_INFINITY);
  });
});

describe("the area under the ROC", () => {
  it.each([
    ["all above", [3, 4], [1, 2], 1],
    ["all below", [1, 2], [3, 4, 5], 0],
    ["all tied", [1, 1, 1], [1, 1], 0.5],
    ["one tie", [2, 3], [1, 2], 0.875],
    ["mixed", [0.1, 0.9, 0.5], [0.2, 0.4], 4 / 6],
  ])("counts ordered pairs, and ties as half: %s", (_, present, absent, area) => {
    expect(areaUnderRoc(present, absent)).toBeCloseTo(area, 12);
  });

  it("equals a count of every pair, one by one", () => {
    const scores = (factor: number): number[] => Array.from({ length: 40 }, (_, i) => (i * factor) % 13);
    const [present, absent] = [scores(5), scores(7).map((score) => score * 0.8)];
    const pairs = present.flatMap((a) => absent.map((b) => (a > b ? 1 : a === b ? 0.5 : 0)));
    expect(areaUnderRoc(present, absent)).toBeCloseTo(mean(pairs), 12);
  });

  it("is NaN if either list is empty", () => {
    expect([areaUnderRoc([], [1]), areaUnderRoc([1], [])]).toEqual([Number.NaN, Number.NaN]);
  });
});

it("the median is the middle value, or the mean of the two middle values", () => {
  expect([median([5, 1, 3]), median([4, 1, 3, 2]), median([7]), median([])]).toEqual([3, 2.5, 7, Number.NaN]);
});
