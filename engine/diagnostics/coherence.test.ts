import { describe, expect, it } from "vitest";
import {
  coherenceReference,
  latticeCoherenceReference,
  pairsReference,
} from "../../kernels/metrics/reference.ts";
import { randomFloats } from "../../test/gpu.ts";
import { LatticeCoherence, orderParameter } from "./coherence.ts";

describe("coherence", () => {
  it.each([1, 2, 3, 32, 33, 256])("of a vector memory is its definition's, D %i", (size) => {
    const m = randomFloats(size, size, -0.5, 1);
    expect(orderParameter(m)).toBeCloseTo(coherenceReference(pairsReference(m)), 12);
    expect(orderParameter(new Float32Array(size))).toBe(0);
  });

  it.each([
    [1, 1, 5],
    [2, 2, 1],
    [4, 4, 8],
    [2, 4, 3],
    [5, 3, 2],
    [1, 7, 2],
  ] as const)("of a lattice is its definition's, %i×%i, %i components", (gx, gy, components) => {
    const coherence = new LatticeCoherence([gx, gy]);
    const z = randomFloats(gx * gy, 2 * gx * gy * components, -0.5, 1);
    expect(coherence.of(z)).toBeCloseTo(latticeCoherenceReference(z, [gx, gy]), 12);
    expect(coherence.of(new Float32Array(z.length))).toBe(0);
  });
});
