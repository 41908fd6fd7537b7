import { expect, it } from "vitest";
import {
  bindingAtMost,
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
import type { KernelHost } from "../kernel.ts";
import { matrixBytes, type WeightFormat, weightFormats } from "../matrix.ts";
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
    const schedule = uploadSchedule(gpu, 2 ** 32 - 1);
    const h = poisoned(gpu, "h", shape.rows * size + 64);
    const fed = embed(gpu, uploadMatrix(gpu, table, [vocabulary, size], format), {
      run: uploadRun(gpu, shape, slot),
      schedule,
      tokens: gpu.upload("tokens", tokens),
      counts,
      h,
    });
    await runDispatches(gpu, fed, shape);

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
    expect(await words()).toEqual([0, 0]);
    await runDispatches(gpu, fed, shape);
    expect(await words()).toEqual([1, 0]);
  },
);

it.each(weightFormats)(
  "finds rows of a table in %s that is bound in parts, and counts a token once",
  async (format) => {
    const [size, vocabulary, rows] = [33, 300, 70];
    const shape = { rows, length: rows };
    const tokens = randomIntegers(1, rows, vocabulary);
    tokens.set([0, 63, 64, 255, 256, 299]);
    const table = uploadMatrix(gpu, randomFloats(2, vocabulary * size), [vocabulary, size], format);
    const feed = async (host: KernelHost) => {
      const counts = gpu.storage("counts", 4 * vocabulary);
      const schedule = uploadSchedule(gpu, 2 ** 32 - 1);
      const h = poisoned(gpu, "h", rows * size);
      const buffers = {
        run: uploadRun(gpu, shape),
        schedule,
        tokens: gpu.upload("tokens", tokens),
        counts,
        h,
      };
      const dispatches = embed(host, table, buffers);
      await runDispatches(gpu, dispatches, shape);
      const words = [counts, schedule].map(async (buffer) => new Uint32Array(await gpu.read(buffer)));
      return { parts: dispatches.length, h: await gpu.readFloats(h), words: await Promise.all(words) };
    };
    const whole = await feed(gpu);
    const apart = await feed(bindingAtMost(gpu, matrixBytes(64, size, format)));
    expect([whole.parts, apart.parts]).toEqual([1, 5]);
    expect(firstDifference(apart.h, whole.h)).toBe(-1);
    expect(apart.words).toEqual(whole.words);
  },
);
