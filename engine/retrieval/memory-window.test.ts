import { describe, expect, it } from "vitest";
import type { PairDecay } from "../../kernels/memory-scan/memory-scan.ts";
import { memoryReference } from "../../kernels/memory-scan/reference.ts";
import { mulberry32, randomFloats, relativeError } from "../../test/gpu.ts";
import { Matcher } from "./matcher.ts";
import { type Decay, LatticeWindow, signature, VectorWindow } from "./memory-window.ts";

const size = 24;
const half = size / 2;
const next = mulberry32(1);
const pairs = Array.from(
  { length: half },
  (): PairDecay => ({
    beta: 0.5 + 0.499 * next(),
    alpha: next(),
    lambda: 0.001 + 0.998 * next(),
    omega: 6 * next() - 3,
  }),
);
const ofPair = (value: (pair: PairDecay) => number): Float64Array => Float64Array.from(pairs, value);
const twice = (values: Float64Array): Float64Array => Float64Array.of(...values, ...values);
const decay: Decay = {
  pvm: { beta: twice(ofPair(({ beta }) => beta)), alpha: twice(ofPair(({ alpha }) => alpha)) },
  plm: {
    factor: Float64Array.of(
      ...ofPair(({ lambda, omega }) => lambda * Math.cos(omega)),
      ...ofPair(({ lambda, omega }) => lambda * Math.sin(omega)),
    ),
    drive: ofPair(({ lambda }) => 1 - lambda),
  },
};
const length = 400;
const u = randomFloats(2, length * size);
const row = (values: Float32Array, t: number): Float32Array =>
  t < 0 ? new Float32Array(size) : values.subarray(t * size, (t + 1) * size);
const zero = { m: new Float64Array(size), z: new Float64Array(size) };
const whole = memoryReference(u, pairs, zero, size);
const stateAt = (states: Float64Array, t: number): Float64Array =>
  t < 0 ? new Float64Array(size) : states.subarray(t * size, (t + 1) * size);

describe.each([1, 2, 7, 60])("a windowed memory of %i tokens", (k) => {
  const runTo = (window: VectorWindow | LatticeWindow, t: number): Float64Array => {
    for (let i = 0; i <= t; i++) window.advance(row(u, i), row(u, i - k));
    return window.state;
  };

  it.each([0, k - 1, k, 2 * k, 399])("is m_t − β^k ⊙ m_{t−k} of the memory at %i", (t) => {
    const before = stateAt(whole.m, t - k);
    const expected = stateAt(whole.m, t).map((value, d) => value - pairs[d % half]!.beta ** k * before[d]!);
    expect(relativeError(runTo(new VectorWindow(decay.pvm, k), t), expected)).toBeLessThan(1e-12);
    const old = stateAt(whole.z, t - k);
    const lattice = stateAt(whole.z, t).map((value, d) => {
      const { lambda, omega } = pairs[d % half]!;
      const [re, im] = [lambda ** k * Math.cos(k * omega), lambda ** k * Math.sin(k * omega)];
      return d < half
        ? value - (re * old[d]! - im * old[d + half]!)
        : value - (re * old[d]! + im * old[d - half]!);
    });
    expect(relativeError(runTo(new LatticeWindow(decay.plm!, k), t), lattice)).toBeLessThan(1e-12);
  });

  it("is what its tokens leave in an empty memory", () => {
    const first = length - k;
    const own = memoryReference(u.subarray(first * size), pairs, zero, size);
    const closed = stateAt(own.m, k - 1);
    expect(relativeError(runTo(new VectorWindow(decay.pvm, k), length - 1), closed)).toBeLessThan(1e-12);
    const lattice = stateAt(own.z, k - 1);
    expect(relativeError(runTo(new LatticeWindow(decay.plm!, k), length - 1), lattice)).toBeLessThan(1e-12);
  });
});

describe("the lattice's cosine", () => {
  it("does not see a phase that all pairs share", () => {
    const us = [row(u, 0), row(u, 1)];
    const sign = signature(new LatticeWindow(decay.plm!, 2), us);
    const turned = us.map((values) =>
      values.map((_, d) => (d < half ? -values[d + half]! : values[d - half]!)),
    );
    const window = new LatticeWindow(decay.plm!, 2);
    signature(window, turned);
    expect(window.cosine(sign)).toBeCloseTo(1, 12);
  });
});

describe("a matcher", () => {
  it("keeps as much of a long context as of a short one", () => {
    const cue = [0, 1, 2, 3, 4].map((t) => row(u, t));
    const matcher = new Matcher(decay, "hybrid", cue, 4);
    const push = (count: number): number => {
      for (let i = 0; i < count; i++) matcher.push(row(u, Math.floor(next() * length)));
      return matcher.numbers;
    };
    const soon = push(200);
    expect(push(20_000)).toBe(soon);
  });
});
