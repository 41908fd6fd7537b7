import { expect, it } from "vitest";
import {
  firstDifference,
  poisoned,
  randomFloats,
  relativeError,
  runDispatches,
  testGpu,
  untouched,
} from "../../test/gpu.ts";
import { layerNorm, type Norm } from "./layer-norm.ts";
import { layerNormReference, type NormKind } from "./reference.ts";

const gpu = await testGpu();

async function run(
  h: Float32Array<ArrayBuffer>,
  weights: Float32Array<ArrayBuffer>,
  size: number,
  kind?: NormKind,
) {
  const rows = h.length / size;
  const out = poisoned(gpu, "out", h.length + 64);
  const buffer = gpu.upload("norm", weights);
  const norm: GPUBuffer | Norm = kind ? { buffer, ...kind } : buffer;
  const buffers = { h: gpu.upload("h", h), norm, out };
  await runDispatches(gpu, [layerNorm(gpu, size, buffers)], { rows, length: rows });
  const values = await gpu.readFloats(out);
  expect(untouched(values, h.length)).toBe(true);
  return values.subarray(0, h.length);
}

it.each([1, 2, 33, 48, 63, 64, 65, 256, 769])("agrees with the reference on rows of %i", async (size) => {
  for (const rows of [1, 31]) {
    const h = randomFloats(size, rows * size, -3, 5);
    const norm = randomFloats(size + 1, 2 * size, -2, 2);
    const expected = layerNormReference(h, norm.subarray(0, size), norm.subarray(size), size);
    expect(relativeError(await run(h, norm, size), expected)).toBeLessThan(2e-6);
  }
});

it.each<NormKind>([
  {},
  { eps: 1e-12 },
  { eps: 0.3 },
  { rms: true },
  { eps: 1e-6, rms: true },
  { eps: 0.3, rms: true },
])("agrees with the reference for %o", async (kind) => {
  for (const size of [1, 65, 256]) {
    const h = randomFloats(size, 5 * size, -1, 3);
    const norm = randomFloats(size + 1, 2 * size, -2, 2);
    const expected = layerNormReference(h, norm.subarray(0, size), norm.subarray(size), size, kind);
    expect(relativeError(await run(h, norm, size, kind), expected)).toBeLessThan(2e-6);
  }
});

it("gives zeros for a row of zeros without a bias", async () => {
  const norm = Float32Array.from({ length: 2 * 65 }, (_, i) => (i < 65 ? 2 : 0));
  const values = await run(new Float32Array(65), norm, 65, { rms: true });
  expect(values.every((value) => value === 0)).toBe(true);
});

it("keeps its precision on values far from zero", async () => {
  const h = randomFloats(1, 3 * 256, 1000, 1001);
  const norm = Float32Array.from({ length: 512 }, (_, i) => (i < 256 ? 1 : 0));
  const expected = layerNormReference(h, norm.subarray(0, 256), norm.subarray(256), 256);
  expect(relativeError(await run(h, norm, 256), expected)).toBeLessThan(1e-3);
});

it("gives the bias for a constant row", async () => {
  const norm = randomFloats(2, 2 * 65);
  const values = await run(new Float32Array(65).fill(4), norm, 65);
  expect(relativeError(values, norm.subarray(65))).toBeLessThan(1e-6);
});

it("gives a row the same bits wherever it lies in the batch", async () => {
  const h = randomFloats(3, 33 * 65);
  const norm = randomFloats(4, 2 * 65);
  const all = await run(h, norm, 65);
  const one = await run(h.slice(17 * 65, 18 * 65), norm, 65);
  expect(firstDifference(one, all.subarray(17 * 65, 18 * 65))).toBe(-1);
});

it("leaves the rest of wider rows as it was", async () => {
  const [size, stride, rows] = [33, 70, 5];
  const h = randomFloats(5, rows * size);
  const norm = randomFloats(6, 2 * size);
  const out = poisoned(gpu, "out", rows * stride);
  const buffers = { h: gpu.upload("h", h), norm: gpu.upload("norm", norm), out };
  await runDispatches(gpu, [layerNorm(gpu, size, buffers, stride)], { rows, length: rows });
  const values = await gpu.readFloats(out);
  const expected = layerNormReference(h, norm.subarray(0, size), norm.subarray(size), size);
  for (let row = 0; row < rows; row++) {
    const own = values.subarray(row * stride, (row + 1) * stride);
    expect(
      relativeError(own.subarray(0, size), expected.subarray(row * size, (row + 1) * size)),
    ).toBeLessThan(2e-6);
    expect(untouched(own, size)).toBe(true);
  }
});
