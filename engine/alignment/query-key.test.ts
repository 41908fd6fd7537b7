import { expect, it } from "vitest";
import { randomFloats, relativeError } from "../../test/gpu.ts";
import { type QueryKeyMethod, queryKey } from "./query-key.ts";

const methods: QueryKeyMethod[] = ["mean", "ema", "phase_weighted"];
const hidden = randomFloats(1, 40 * 6);

it.each(methods)("%s has length 1, and sees the window alone", (method) => {
  const query = queryKey(hidden, 6, method);
  expect(Math.hypot(...query)).toBeCloseTo(1, 12);
  expect(queryKey(hidden.subarray(24 * 6), 6, method)).toEqual(query);
  expect(queryKey(hidden, 6, method, 5)).toEqual(queryKey(hidden.subarray(35 * 6), 6, method));
  expect(relativeError(queryKey(hidden, 6, method, 5), query)).toBeGreaterThan(1e-3);
});

it.each(methods)("%s of one row is that row's direction, and of zeros zero", (method) => {
  expect(Array.from(queryKey([3, 0, -4], 3, method))).toEqual([0.6, 0, -0.8]);
  expect(Array.from(queryKey(new Float32Array(9), 3, method))).toEqual([0, 0, 0]);
});

it("ema leans to what is late, phase_weighted to what moves on", () => {
  const turns = [1, 0, 1, 0, 1, 0, 0, 1];
  const [mean, ema] = [queryKey(turns, 2, "mean"), queryKey(turns, 2, "ema")];
  expect(ema[1]! / ema[0]!).toBeGreaterThan(mean[1]! / mean[0]!);
  // The first row stands still, the second moves by √2, the third by 5.
  const moving = queryKey([1, 0, 1, 0, 0, 1, 5, 1], 2, "phase_weighted");
  expect(moving[1]).toBeGreaterThan(0.99);
});

it("stays finite where rows leap", () => {
  const leaps = Float64Array.from({ length: 16 }, (_, i) => (i % 3) * 1e5);
  expect(queryKey(leaps, 4, "phase_weighted").every(Number.isFinite)).toBe(true);
});

it("is refused for no rows, or part of one", () => {
  for (const bad of [new Float32Array(0), new Float32Array(7)]) {
    expect(() => queryKey(bad, 6, "mean")).toThrow(/^hidden: /);
  }
  expect(() => queryKey(hidden, 6, "mean", 0)).toThrow(/^hidden: /);
});
