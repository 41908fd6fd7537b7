import { expect, it } from "vitest";
import { lengthOf } from "./length.ts";

/** The same in every engine: products and sums of f64 alone. */
const vector = Float64Array.from({ length: 65 }, (_, i) => ((i * 7919) % 131) / 7 - 9);

it("is the square root of the sum of the squares, also where the squares are not finite", () => {
  expect(lengthOf([3, -4])).toBe(5);
  expect(lengthOf(vector)).toBeCloseTo(Math.sqrt(vector.reduce((sum, x) => sum + x * x, 0)), 12);
  expect(lengthOf([3e200, 4e200])).toBeCloseTo(5e200, -187);
  expect(lengthOf([0, -0])).toBe(0);
  expect(lengthOf([])).toBe(0);
  expect(lengthOf([Number.NaN, 1])).toBeNaN();
});

it("has these bits in every JavaScript engine", () => {
  expect(lengthOf(vector)).toBe(44.00834800214104);
  expect(lengthOf([0.1, 0.1, 0.1])).toBe(0.17320508075688773);
});
