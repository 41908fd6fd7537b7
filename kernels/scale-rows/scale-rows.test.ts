import { expect, it } from "vitest";
import {
  firstDifference,
  poisoned,
  randomFloats,
  runDispatches,
  testGpu,
  untouched,
} from "../../test/gpu.ts";
import { scaleRowsReference } from "./reference.ts";
import { scaleRows } from "./scale-rows.ts";

const gpu = await testGpu();

it.each([
  [1, 1, 1],
  [3, 2, 7],
  [31, 33, 33],
  [2, 64, 128],
  [5, 65, 130],
  [2, 769, 769],
])("gives %i rows of %i, of rows of %i, their own factors", async (rows, size, stride) => {
  const x = randomFloats(size, rows * stride);
  const scales = randomFloats(size + 1, rows, -100, 100);
  scales[rows - 1] = 0;
  const out = poisoned(gpu, "out", rows * size + 64);
  const given = gpu.upload("x", x);
  const buffers = { x: given, scales: gpu.upload("scales", scales), out };
  await runDispatches(gpu, [scaleRows(gpu, size, buffers, stride)], { rows, length: rows });
  const values = await gpu.readFloats(out);
  expect(untouched(values, rows * size)).toBe(true);
  const expected = Float32Array.from(scaleRowsReference(x, scales, size, stride));
  expect(firstDifference(values.subarray(0, rows * size), expected)).toBe(-1);
  expect(firstDifference(await gpu.readFloats(given, 0, x.length), x)).toBe(-1);
});
