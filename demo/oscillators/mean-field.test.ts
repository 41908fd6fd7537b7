import { describe, expect, it } from "vitest";
import { orderParameter } from "../../engine/diagnostics/coherence.ts";
import { axisEnd, meanField } from "./mean-field.ts";

describe("a mean field", () => {
  it("is as long as the engine's order parameter, also where D is odd", () => {
    for (const size of [8, 9, 256]) {
      const m = Float32Array.from({ length: size }, (_, i) => Math.sin(i * i + 1));
      const { re, im } = meanField(m);
      expect(Math.hypot(re, im)).toBeCloseTo(orderParameter(m), 12);
    }
  });

  it("points where all pairs point", () => {
    const { re, im } = meanField(Float32Array.of(0, 0, 2, 3));
    expect([re, im]).toEqual([0, 1]);
  });

  it("of zeros is zero", () => {
    expect(meanField(new Float32Array(6))).toEqual({ re: 0, im: 0, chance: 0 });
  });

  it("says what random phases would give on average", () => {
    const moduli = Array.from({ length: 64 }, (_, i) => 0.2 + (i % 7));
    let [seed, sum] = [1, 0];
    const [turns, m] = [4000, new Float32Array(128)];
    for (let turn = 0; turn < turns; turn++) {
      moduli.forEach((modulus, j) => {
        seed = (seed * 48271) % 2147483647;
        const phase = (2 * Math.PI * seed) / 2147483647;
        m[j] = modulus * Math.cos(phase);
        m[j + 64] = modulus * Math.sin(phase);
      });
      sum += orderParameter(m);
    }
    expect(meanField(m).chance / (sum / turns)).toBeCloseTo(1, 1);
  });
});

it("an axis ends at the next round number", () => {
  expect([0, 0.1, 0.11, 0.42, 0.5, 0.9, 1].map(axisEnd)).toEqual([0.1, 0.1, 0.2, 0.6, 0.6, 1, 1]);
});
