import { expect, it } from "vitest";
import {
  poisoned,
  randomFloats,
  relativeError,
  runDispatches,
  testGpu,
  untouched,
  uploadMatrix,
  uploadRun,
} from "../../test/gpu.ts";
import { linearTiled } from "../linear/linear.ts";
import { segmentCosineReference } from "./reference.ts";
import { latticeRows, segmentCosine } from "./segment-cosine.ts";

const gpu = await testGpu();

it.each([
  [1, 2, 1, 5],
  [3, 34, 5, 7],
  [70, 256, 33, 40],
])(
  "cosines of %i segments, D %i, agree with the reference: %i rows on a ring of %i",
  async (segments, size, rows, ring) => {
    const windows = randomFloats(1, rows * 2 * size);
    const scales = randomFloats(3, rows * 2, 0.5, 2);
    const all = randomFloats(2, segments * 2 * size);
    const part = (values: Float32Array, index: number): Float32Array =>
      values.subarray(index * size, (index + 1) * size);
    const pvm = Float32Array.from(Array.from({ length: segments }, (_, s) => [...part(all, 2 * s)]).flat());
    const plm = Float32Array.from(
      Array.from({ length: segments }, (_, s) => [...latticeRows(part(all, 2 * s + 1))]).flat(),
    );
    const runUniform = uploadRun(gpu, { rows, length: rows });
    const input = gpu.upload("windows", windows);
    const products = poisoned(gpu, "products", rows * 3 * segments);
    const cosines = poisoned(gpu, "cosines", ring * segments * 2 + 64);
    const first = ring - 2;
    await runDispatches(
      gpu,
      [
        ...linearTiled(gpu, runUniform, {
          weight: uploadMatrix(gpu, pvm, [segments, size], "f32"),
          input: { buffer: input, stride: 2 * size },
          output: { buffer: products, stride: 3 * segments },
          epilogue: "store",
        }),
        ...linearTiled(gpu, runUniform, {
          weight: uploadMatrix(gpu, plm, [2 * segments, size], "f32"),
          input: { buffer: input, stride: 2 * size, offset: size },
          output: { buffer: products, stride: 3 * segments, offset: segments },
          epilogue: "store",
        }),
        segmentCosine(gpu, segments, ring, {
          rows: gpu.uniform("rows", Uint32Array.of(rows, first, 0, 0)),
          products,
          scales: gpu.upload("scales", scales),
          cosines,
        }),
      ],
      { rows, length: rows },
    );
    const found = await gpu.readFloats(cosines);
    expect(untouched(found, ring * segments * 2)).toBe(true);
    const place = (row: number): Float32Array => {
      const start = ((first + row) % ring) * segments * 2;
      return found.subarray(start, start + segments * 2);
    };
    for (let row = 0; row < rows; row++) {
      const window = windows.subarray(row * 2 * size, (row + 1) * 2 * size);
      const expected = Array.from({ length: segments }, (_, s) =>
        segmentCosineReference(window, all.subarray(s * 2 * size, (s + 1) * 2 * size)).map(
          (cosine, memory) => cosine * scales[2 * row + memory]!,
        ),
      ).flat();
      expect(relativeError(place(row), expected)).toBeLessThan(3e-6);
    }
    for (let row = rows; row < ring; row++) expect(untouched(place(row), 0)).toBe(true);
  },
);
