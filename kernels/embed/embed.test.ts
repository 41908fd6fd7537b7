import { expect, it } from "vitest";
import {
  firstDifference,
  poisoned,
  randomFloats,
  randomIntegers,
  runDispatches,
  testGpu,
  untouched,
  uploadMatrix,
  uploadRun,
  uploadSchedule,
} from "../../test/gpu.ts";
import type { WeightFormat } from "../matrix.ts";
import { keptReference } from "../pack-weight/reference.ts";
import { embed } from "./embed.ts";
import { embedReference } from "./reference.ts";

const gpu = await testGpu();
const slot = 1;

const cases: [size: number, vocabulary: number, streams: number, length: number, format: WeightFormat][] = [
  [1, 37, 2, 1, "f32"],
  [2, 260, 1, 65, "f16"],
  [33, 37, 3, 31, "f16"],
  [48, 1031, 2, 100, "f32"],
  [65, 260, 1, 1, "f32"],
  [256, 37, 5, 1, "f16"],
  [769, 37, 1, 33, "f32"],
  [65, 37, 2, 3, "q8"],
  [100, 37, 2, 3, "q4"],
];

it.each(cases)(
  "looks up rows, counts each stream's tokens and moves the step on once: D %i, V %i, %i streams of %i, %s",
  async (size, vocabulary, streams, length, format) => {
    const shape = { rows: streams * length, length };
    const tokens = randomIntegers(1, shape.rows, vocabulary);
    tokens[0] = vocabulary - 1;
    tokens[shape.rows - 1] = 0;
    const table = randomFloats(2, vocabulary * size);
    const before = randomIntegers(3, (slot + streams + 1) * vocabulary, 5);
    const counts = gpu.upload("counts", before);
    const schedule = uploadSchedule(gpu, 2 ** 32 - 1, 7);
    const h = poisoned(gpu, "h", shape.rows * size + 64);
    const fed = embed(gpu, uploadMatrix(gpu, table, [vocabulary, size], format), {
      run: uploadRun(gpu, shape, slot),
      schedule,
      tokens: gpu.upload("tokens", tokens),
      counts,
      h,
    });
    await runDispatches(gpu, [fed], shape);

    const values = await gpu.readFloats(h);
    const rounded = keptReference(table, size, format);
    expect(untouched(values, shape.rows * size)).toBe(true);
    const expected = Float32Array.from(embedReference(tokens, rounded, size));
    expect(firstDifference(values.subarray(0, shape.rows * size), expected)).toBe(-1);

    const after = before.slice();
    tokens.forEach((token, row) => {
      after[(slot + Math.floor(row / length)) * vocabulary + token]! += 1;
    });
    expect(firstDifference(new Uint32Array(await gpu.read(counts)), after)).toBe(-1);
    const words = () => gpu.read(schedule, 0, 8).then((bytes) => Array.from(new Uint32Array(bytes)));
    expect(await words()).toEqual([0, 7]);
    await runDispatches(gpu, [fed], shape);
    expect(await words()).toEqual([1, 7]);
  },
);
