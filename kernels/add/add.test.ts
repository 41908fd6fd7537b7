import { expect, it } from "vitest";
import {
  firstDifference,
  poisoned,
  randomFloats,
  runDispatches,
  testGpu,
  untouched,
} from "../../test/gpu.ts";
import { add } from "./add.ts";
import { addReference } from "./reference.ts";

const gpu = await testGpu();

it.each([
  [1, 1, 1],
  [3, 2, 7],
  [31, 33, 33],
  [2, 63, 64],
  [5, 65, 130],
  [2, 769, 769],
])("adds to %i rows of %i those of rows of %i", async (rows, size, stride) => {
  const h = randomFloats(size, rows * size);
  const x = randomFloats(size + 1, rows * stride);
  const sum = poisoned(gpu, "h", rows * size + 64, h);
  const given = gpu.upload("x", x);
  await runDispatches(gpu, [add(gpu, size, { x: given, h: sum }, stride)], { rows, length: rows });
  const values = await gpu.readFloats(sum);
  expect(untouched(values, rows * size)).toBe(true);
  const expected = Float32Array.from(addReference(h, x, size, stride));
  expect(firstDifference(values.subarray(0, rows * size), expected)).toBe(-1);
  expect(firstDifference(await gpu.readFloats(given, 0, x.length), x)).toBe(-1);
});
