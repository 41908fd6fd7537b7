import { describe, expect, it } from "vitest";
import { mulberry32 } from "../../test/gpu.ts";
import { axisTicks, heatColour, heatRange, onScale, pinRows, similarityAt, stripColumns } from "./heat.ts";

const profileOf = (offsets: number[], similarity: number[]) => ({
  offsets: Float64Array.from(offsets),
  similarity: Float32Array.from(similarity),
});

describe("the strip's columns", () => {
  it("have the best similarity of all parts that lie under them, for any widths", () => {
    const next = mulberry32(1);
    for (const [characters, parts, columns] of [
      [10, 10, 10],
      [1000, 7, 100],
      [1000, 300, 100],
      [12, 5, 400],
    ] as const) {
      const inner = Array.from({ length: parts - 1 }, () => Math.floor(next() * characters));
      const offsets = [0, ...inner].sort((a, b) => a - b);
      const profile = profileOf(
        offsets,
        offsets.map(() => 2 * next() - 1),
      );
      const found = stripColumns(profile, [], characters, columns, 1);
      for (let column = 0; column < columns; column++) {
        // A part without characters of its own still has the column in which it begins.
        const [from, to] = [column * characters, (column + 1) * characters];
        const under = offsets.flatMap((start, part) => {
          const [first, end] = [start * columns, (offsets[part + 1] ?? characters) * columns];
          return (first < to && end > from) || (first >= from && first < to)
            ? [profile.similarity[part]!]
            : [];
        });
        expect(found[column]).toBe(Math.max(...under));
      }
    }
  });

  it("show a match over all it covers, and a short one as wide as the least", () => {
    const profile = profileOf([0, 500], [0.1, Number.NaN]);
    const matches = [
      { start: 100, end: 300, similarity: 0.5 },
      { start: 998, end: 999, similarity: 1 },
    ];
    const columns = Array.from(stripColumns(profile, matches, 1000, 20, 3));
    const low = Math.fround(0.1);
    expect(columns.slice(0, 10)).toEqual([low, low, 0.5, 0.5, 0.5, 0.5, low, low, low, low]);
    expect(columns.slice(10, 17).every(Number.isNaN)).toBe(true);
    expect(columns.slice(17)).toEqual([1, 1, 1]);
  });
});

describe("the scale", () => {
  it("begins at the median of what is known, and ends at equal tokens", () => {
    const range = heatRange(profileOf([0, 1, 2, 3, 4], [0.2, 0.47, Number.NaN, 0.9, 0.3]));
    expect(range).toEqual({ low: 0.45, high: 1 });
    expect([0.1, 0.45, 0.725, 1].map((value) => onScale(value, range))).toEqual([
      0,
      0,
      expect.closeTo(0.5),
      1,
    ]);
    expect(heatRange(profileOf([0], [1]))).toEqual({ low: 0.95, high: 1 });
  });

  it.each([
    ["light", false],
    ["dark", true],
  ])("changes in lightness by the same amount from step to step when %s", (_, dark) => {
    const lightness = Array.from({ length: 11 }, (_, i) =>
      Number(/^oklch\(([\d.]+)/.exec(heatColour(i / 10, dark))![1]),
    );
    const steps = lightness.slice(1).map((value, i) => value - lightness[i]!);
    for (const step of steps) expect(step).toBeCloseTo(dark ? 0.068 : -0.062, 6);
  });
});

it("a place has the similarity of the part in which it lies", () => {
  const profile = profileOf([0, 10, 20], [0.25, 0.5, 0.75]);
  expect([0, 9, 10, 19, 20, 999].map((at) => similarityAt(profile, at))).toEqual([
    0.25, 0.25, 0.5, 0.5, 0.75, 0.75,
  ]);
});

it.each([
  [1, 5, [0]],
  [10, 5, [0, 2, 4, 6, 8]],
  [12_001, 10, [0, 2000, 4000, 6000, 8000, 10_000, 12_000]],
  [1_000_000, 4, [0, 500_000]],
])("the axis of %i characters with at most %i ticks has round ones", (characters, most, ticks) => {
  expect(axisTicks(characters, most)).toEqual(ticks);
});

it("pins that would cover one another stand in rows, and a free one in the first", () => {
  expect(pinRows([50, 0, 10, 26], 26, 3)).toEqual([1, 0, 1, 0]);
  expect(pinRows([0, 1, 2, 3], 26, 2)).toEqual([0, 1, 0, 1]);
});
