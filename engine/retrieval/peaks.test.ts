import { expect, it } from "vitest";
import { mulberry32 } from "../../test/gpu.ts";
import { byRank, type Peak, Peaks } from "./peaks.ts";

const overlap = (a: Peak, b: Peak): boolean =>
  a.position < b.position + b.length && b.position < a.position + a.length;

/** The best window, then the best that does not overlap it, and so on. */
function greedy(windows: readonly Peak[]): Peak[] {
  const taken: Peak[] = [];
  for (const window of windows.toSorted(byRank)) {
    if (!taken.some((other) => overlap(window, other))) taken.push(window);
  }
  return taken;
}

function peaksOf(windows: readonly Peak[], capacity = 1000): readonly Peak[] {
  const peaks = new Peaks(capacity);
  for (const { position, length, similarity } of windows) peaks.add(position, length, similarity);
  peaks.finish();
  return peaks.best;
}

const windowsOf = (similarities: readonly number[], length: number): Peak[] =>
  similarities.map((similarity, position) => ({ position, length, similarity }));

it("keeps of windows that overlap the best, and the first of equals", () => {
  const found = peaksOf(windowsOf([0.1, 0.9, 0.3, 0.9, 0.2, 0.2, 0.9, 0.9], 3));
  expect(found.map(({ position }) => position)).toEqual([1, 6]);
});

it("keeps a peak whose better neighbour gave way to a better one still", () => {
  const similarities = new Array<number>(40).fill(0);
  [similarities[4], similarities[12], similarities[20]] = [0.7, 0.75, 0.9];
  expect(peaksOf(windowsOf(similarities, 10)).slice(0, 2)).toEqual([
    { position: 20, length: 10, similarity: 0.9 },
    { position: 4, length: 10, similarity: 0.7 },
  ]);
});

it("finds the best of all, none overlapping another, as many as there is room for", () => {
  for (let seed = 1; seed <= 50; seed++) {
    const next = mulberry32(seed);
    const windows = windowsOf(Array.from({ length: 300 }, next), 1 + Math.floor(12 * next()));
    const found = peaksOf(windows);
    expect(found.slice(0, 5)).toEqual(greedy(windows).slice(0, 5));
    for (const [i, peak] of found.entries()) {
      expect(found.slice(i + 1).some((other) => overlap(peak, other))).toBe(false);
    }
    expect(peaksOf(windows, 3)).toEqual(found.slice(0, 3));
  }
});

it("forgets the start of a chain that goes on", () => {
  const peaks = new Peaks(5);
  for (let position = 0; position < 10_000; position++) peaks.add(position, 10, position / 10_000);
  expect(3 * peaks.size).toBeLessThanOrEqual(peaks.numbers(10));
  peaks.finish();
  expect(peaks.best.map(({ position }) => position)).toEqual([9999, 9989, 9979, 9969]);
});
