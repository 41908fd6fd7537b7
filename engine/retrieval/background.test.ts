import { describe, expect, it } from "vitest";
import { mulberry32 } from "../../test/gpu.ts";
import { Background } from "./background.ts";

/** Similarities whose artanh has a tail of the given scale above 0.4. */
function background(seed: number, windows: number, scale: number): { told: Background; best: number } {
  const next = mulberry32(seed);
  const told = new Background(1);
  let best = -1;
  for (let i = 0; i < windows; i++) {
    const similarity = Math.tanh(0.4 + scale * Math.log(0.5 / (1 - next())));
    told.add(similarity);
    best = Math.max(best, similarity);
  }
  return { told, best };
}

describe("the confidence", () => {
  it.each([
    [300, 0.2],
    [3000, 0.15],
    [30_000, 0.2],
  ])("of the best of %i windows of background is above one half about once in 20", (windows, scale) => {
    const above = Array.from({ length: 200 }, (_, seed) => {
      const { told, best } = background(seed, windows, scale);
      return told.confidence(best) > 0.5;
    });
    expect(above.filter(Boolean).length).toBeLessThan(30);
  });

  it("grows with the similarity, falls with the windows, and is 1 for the cue itself", () => {
    const { told } = background(1, 1000, 0.2);
    const many = background(1, 10_000, 0.2).told;
    const grid = Array.from({ length: 200 }, (_, i) => -1 + i / 100);
    const scores = grid.map((similarity) => told.confidence(similarity));
    expect(scores).toEqual(scores.toSorted((a, b) => a - b));
    expect(many.confidence(0.9)).toBeLessThan(told.confidence(0.9));
    expect(told.confidence(1)).toBe(1);
  });

  it("is low for a single window, unless it is the cue itself", () => {
    const told = new Background(1);
    told.add(0.6);
    expect(told.confidence(0.6)).toBeLessThan(0.25);
    const exact = new Background(1);
    exact.add(1);
    expect(exact.confidence(1)).toBe(1);
  });
});
