import { describe, expect, it } from "vitest";
import { randomFloats, relativeError } from "../../test/gpu.ts";
import { Ridge } from "./ridge.ts";

/** `a [rows, m]`ᵀ · `b [rows, n]`. */
function crossProduct(a: ArrayLike<number>, b: ArrayLike<number>, m: number, n: number): number[] {
  return Array.from({ length: m * n }, (_, at) => {
    let sum = 0;
    for (let r = 0; r < a.length / m; r++) sum += a[r * m + Math.floor(at / n)]! * b[r * n + (at % n)]!;
    return sum;
  });
}

/** (ZᵀZ + λI) W − ZᵀE, relative to ZᵀE: nothing of the code under test but its W. */
function offBy(
  z: Float32Array,
  e: Float32Array,
  w: Float64Array,
  m: number,
  n: number,
  lambda: number,
): number {
  const gram = crossProduct(z, z, m, m);
  const left = Array.from({ length: m * n }, (_, at) => {
    const [i, j] = [Math.floor(at / n), at % n];
    let sum = lambda * w[at]!;
    for (let k = 0; k < m; k++) sum += gram[i * m + k]! * w[k * n + j]!;
    return sum;
  });
  return relativeError(left, crossProduct(z, e, m, n));
}

function residualOf(z: Float32Array, e: Float32Array, w: Float64Array, m: number, n: number): number {
  const fitted = Array.from(e, (_, at) => {
    let sum = 0;
    for (let i = 0; i < m; i++) sum += z[Math.floor(at / n) * m + i]! * w[i * n + (at % n)]!;
    return sum;
  });
  return relativeError(fitted, e);
}

function fit(z: Float32Array, e: Float32Array, m: number, n: number, lambda: number) {
  const ridge = new Ridge(m, n);
  ridge.add(z, e);
  return ridge.solve(lambda);
}

describe("a ridge fit", () => {
  it.each([
    ["a single row", 1, 6, 3],
    ["too few rows", 19, 24, 5],
    ["one row too few", 23, 24, 5],
    ["as many rows as columns", 24, 24, 5],
    ["one row more", 25, 24, 1],
    ["many rows", 203, 24, 40],
    ["a single column", 7, 1, 1],
  ])("solves its normal equations, and tells its residual: %s", (_, rows, m, n) => {
    const z = randomFloats(rows, rows * m);
    const e = randomFloats(rows + 1, rows * n);
    for (const lambda of [1e-3, 1, 100]) {
      const { weights, residual } = fit(z, e, m, n, lambda);
      expect(offBy(z, e, weights, m, n, lambda)).toBeLessThan(1e-9);
      expect(residual).toBeCloseTo(residualOf(z, e, weights, m, n), 9);
    }
  });

  it("is the same by either form: few rows, and those rows with zeros below", () => {
    const [rows, m, n] = [10, 24, 8];
    const z = randomFloats(1, rows * m);
    const e = randomFloats(2, rows * n);
    const pad = (values: Float32Array, width: number): Float32Array => {
      const out = new Float32Array(2 * m * width);
      out.set(values);
      return out;
    };
    const dual = fit(z, e, m, n, 1e-3);
    const primal = fit(pad(z, m), pad(e, n), m, n, 1e-3);
    expect(relativeError(primal.weights, dual.weights)).toBeLessThan(1e-9);
    expect(primal.residual).toBeCloseTo(dual.residual, 7);
  });

  it.each([[1], [5], [23], [24], [64], [199]])("is the same from blocks of %i rows as from all", (block) => {
    const [rows, m, n] = [200, 24, 8];
    const z = randomFloats(3, rows * m);
    const e = randomFloats(4, rows * n);
    const ridge = new Ridge(m, n);
    for (let r = 0; r < rows; r += block) {
      ridge.add(z.subarray(r * m, (r + block) * m), e.subarray(r * n, (r + block) * n));
    }
    expect(ridge.rows).toBe(rows);
    const [parts, whole] = [ridge.solve(0.1), fit(z, e, m, n, 0.1)];
    expect(relativeError(parts.weights, whole.weights)).toBeLessThan(1e-12);
    expect(parts.residual).toBeCloseTo(whole.residual, 12);
  });

  it("may go on after it was solved", () => {
    const z = randomFloats(5, 30 * 4);
    const e = randomFloats(6, 30 * 2);
    const ridge = new Ridge(4, 2);
    for (let r = 0; r < 30; r += 3) {
      ridge.add(z.subarray(r * 4, (r + 3) * 4), e.subarray(r * 2, (r + 3) * 2));
      ridge.solve(1);
    }
    expect(relativeError(ridge.solve(1).weights, fit(z, e, 4, 2, 1).weights)).toBeLessThan(1e-12);
  });

  it.each([
    ["few", 5],
    ["many", 50],
  ])("goes to ZᵀE / λ, and explains nothing, as λ grows: %s rows", (_, rows) => {
    const [m, n] = [8, 3];
    const z = randomFloats(7, rows * m);
    const e = randomFloats(8, rows * n);
    const { weights, residual } = fit(z, e, m, n, 1e12);
    const scaled = weights.map((value) => value * 1e12);
    expect(relativeError(scaled, crossProduct(z, e, m, n))).toBeLessThan(1e-9);
    expect(residual).toBeCloseTo(1, 9);
  });

  it("finds the map that made its rows, with λ = 0", () => {
    const [rows, m, n] = [60, 12, 5];
    const z = randomFloats(9, rows * m);
    const w = Float64Array.from(randomFloats(10, m * n));
    const e = Float64Array.from({ length: rows * n }, (_, at) => {
      let sum = 0;
      for (let i = 0; i < m; i++) sum += z[Math.floor(at / n) * m + i]! * w[i * n + (at % n)]!;
      return sum;
    });
    const ridge = new Ridge(m, n);
    ridge.add(z, e);
    const found = ridge.solve(0);
    expect(relativeError(found.weights, w)).toBeLessThan(1e-12);
    expect(found.residual).toBeLessThan(1e-6);
  });

  it("is refused where λ = 0 leaves it undetermined, by λ's name", () => {
    const z = Float64Array.from(randomFloats(11, 30 * 4));
    for (let r = 0; r < 30; r++) z[r * 4 + 3] = z[r * 4]! + z[r * 4 + 1]! + z[r * 4 + 2]!;
    const dependent = new Ridge(4, 1);
    dependent.add(z, new Float64Array(30));
    const few = new Ridge(4, 1);
    few.add(randomFloats(12, 12), new Float32Array(3));
    const silent = new Ridge(4, 1);
    silent.add(new Float32Array(40), new Float32Array(10));
    for (const ridge of [dependent, few, silent]) {
      expect(() => ridge.solve(0)).toThrow(/^lambda: ZᵀZ \+ λI is singular with λ = 0 and \d+ rows for 4/);
      expect(ridge.solve(1e-3).weights.every(Number.isFinite)).toBe(true);
    }
  });

  it("is refused without rows, with half rows and with a λ that is none", () => {
    const ridge = new Ridge(4, 2);
    expect(() => ridge.solve(1)).toThrow("no rows");
    expect(() => ridge.add(new Float32Array(6), new Float32Array(3))).toThrow("no rows of 4 and 2");
    expect(() => ridge.add(new Float32Array(8), new Float32Array(2))).toThrow("no rows of 4 and 2");
    ridge.add(randomFloats(13, 8), randomFloats(14, 4));
    for (const lambda of [-1, Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(() => ridge.solve(lambda)).toThrow(/^lambda: /);
    }
  });
});
