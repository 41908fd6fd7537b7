import { expect, it } from "vitest";
import { firstDifference, relativeError, sharedLoadHost, sharedLoadHosts, testGpu } from "../../test/gpu.ts";
import { type AttentionShape, attention, splitsOf } from "./attention.ts";
import {
  attend,
  dataOf,
  expectedOf,
  partOf,
  rowWidth,
  slotSize,
  type TestData,
  type TestPass,
} from "./testing/passes.ts";

const gpu = await testGpu();

// Tests share shapes where they can: a software adapter compiles a kernel again for each shape.
const shapeOf = (heads: number, kvHeads: number, headSize: number, positions: number): AttentionShape => ({
  heads,
  kvHeads,
  headSize,
  rotary: 0,
  positions,
});

const run = (shape: AttentionShape, pass: TestPass, data: TestData): Promise<Float32Array> =>
  attend(gpu, shape, pass, data, (buffers) => [attention(gpu, shape, buffers)]);

const cases: [
  heads: number,
  kv: number,
  size: number,
  p: number,
  streams: number,
  length: number,
  start: number,
][] = [
  [1, 1, 1, 130, 1, 130, 0],
  [3, 1, 3, 100, 3, 7, 5],
  [6, 3, 8, 129, 2, 65, 63],
  [8, 1, 20, 333, 3, 9, 200],
  [4, 4, 64, 200, 2, 65, 64],
  [3, 1, 80, 203, 5, 1, 200],
  [1, 1, 80, 70, 2, 8, 62],
  [6, 3, 128, 333, 1, 130, 200],
  [4, 4, 128, 73, 3, 8, 63],
  [1, 1, 130, 77, 2, 7, 5],
  [8, 1, 256, 71, 2, 7, 64],
  [3, 1, 256, 266, 1, 65, 200],
  [6, 3, 5, 9, 4, 9, 0],
  [1, 1, 8, 4200, 1, 9, 4190],
];

it.each(cases)(
  "agrees with the reference: H %i, KV %i, heads of %i, P %i, %i streams of %i from %i",
  async (heads, kvHeads, size, positions, streams, length, start) => {
    const shape = shapeOf(heads, kvHeads, size, positions);
    const pass = { slot: 1, streams, length, start };
    const data = dataOf(1, shape, pass);
    expect(relativeError(await run(shape, pass, data), expectedOf(shape, pass, data))).toBeLessThan(2e-6);
  },
);

it.each([
  [64, 60],
  [20, 1000],
])("keeps scores of heads of %i and of about ±%i finite, wherever the largest is", async (size, score) => {
  const shape = size === 64 ? shapeOf(4, 4, 64, 200) : shapeOf(8, 1, 20, 333);
  const pass = { slot: 0, streams: 1, length: 130, start: 64 };
  // The rounding of a score shows in its weight, and more so for larger scores.
  const data = dataOf(2, shape, pass, score * 2);
  const values = await run(shape, pass, data);
  expect(relativeError(values, expectedOf(shape, pass, data))).toBeLessThan(score * 1e-6);
});

it.each([-200, 200])("is right where all scores are about %i", async (score) => {
  const shape = shapeOf(6, 3, 8, 129);
  const pass = { slot: 0, streams: 1, length: 129, start: 0 };
  const data = dataOf(3, shape, pass);
  data.qkv.fill((score / 8) * Math.sqrt(8));
  data.keys.forEach((value, i) => {
    data.keys[i] = 1 + value / 50;
  });
  expect(relativeError(await run(shape, pass, data), expectedOf(shape, pass, data))).toBeLessThan(2e-5);
});

it("takes a scale of one's own", async () => {
  const shape = { ...shapeOf(2, 2, 20, 64), scale: 0.7 };
  const pass = { slot: 0, streams: 2, length: 9, start: 5 };
  const data = dataOf(4, shape, pass);
  expect(relativeError(await run(shape, pass, data), expectedOf(shape, pass, data))).toBeLessThan(2e-6);
});

it("gives a stream the same bits whatever other streams share the pass, and wherever it is cut", async () => {
  for (const shape of [shapeOf(8, 1, 20, 333), shapeOf(2, 1, 3, 5000)]) {
    const pass = { slot: 1, streams: 3, length: 130, start: 60 };
    const data = dataOf(5, shape, pass);
    const width = shape.heads * shape.headSize;
    const all = await run(shape, pass, data);
    const parts = [
      [0, 130],
      [0, 4],
      [4, 64],
      [68, 62],
      [37, 9],
      [129, 1],
    ] as const;
    for (const [first, length] of parts) {
      const alone = await run(shape, ...partOf(shape, pass, data, [2, first, length]));
      const from = (2 * pass.length + first) * width;
      expect(firstDifference(alone, all.subarray(from, from + length * width))).toBe(-1);
    }
  }
});

it("gives the same bits however loads are shared", async () => {
  for (const shape of [shapeOf(4, 4, 64, 200), shapeOf(8, 1, 20, 333)]) {
    const pass = { slot: 1, streams: 2, length: 65, start: 63 };
    const data = dataOf(8, shape, pass);
    const values = await run(shape, pass, data);
    for (const host of sharedLoadHosts(gpu)) {
      const other = await attend(gpu, shape, pass, data, (buffers) => [attention(host, shape, buffers)]);
      expect(firstDifference(other, values), `${host.sharedLoadLanes}`).toBe(-1);
    }
  }
});

it("agrees with the reference where no loads are shared, and at sizes that are odd", async () => {
  const shape = shapeOf(3, 1, 3, 100);
  const pass = { slot: 1, streams: 3, length: 7, start: 5 };
  const data = dataOf(9, shape, pass);
  const host = sharedLoadHost(gpu, 0);
  const values = await attend(gpu, shape, pass, data, (buffers) => [attention(host, shape, buffers)]);
  expect(relativeError(values, expectedOf(shape, pass, data))).toBeLessThan(2e-6);
  expect(firstDifference(await run(shape, pass, data), values)).toBe(-1);
});

it("lets nothing of later rows into earlier ones, not even what is not a number", async () => {
  const shape = shapeOf(8, 1, 20, 333);
  const pass = { slot: 0, streams: 1, length: 12, start: 58 };
  const data = dataOf(6, shape, pass);
  const right = await run(shape, pass, data);
  for (const row of [1, 4, 6, 11]) {
    const spoilt = { qkv: data.qkv.slice(), keys: data.keys.slice(), values: data.values.slice() };
    spoilt.qkv.fill(Number.NaN, row * rowWidth(shape));
    for (const cache of [spoilt.keys, spoilt.values]) {
      cache.fill(Number.NaN, ((pass.start + row) * slotSize(shape)) / shape.positions);
    }
    const width = shape.heads * shape.headSize;
    const values = await run(shape, pass, spoilt);
    expect(firstDifference(values.subarray(0, row * width), right.subarray(0, row * width))).toBe(-1);
  }
});

it("cuts any number of positions into at most 32 splits of whole chunks", () => {
  for (const positions of [1, 63, 64, 65, 2048, 2049, 4096, 5000, 131_072, 2 ** 20]) {
    const { keys, count } = splitsOf(shapeOf(1, 1, 1, positions));
    expect(keys % 64).toBe(0);
    expect(count).toBeLessThanOrEqual(32);
    expect(keys * count).toBeGreaterThanOrEqual(positions);
    expect(keys * (count - 1)).toBeLessThan(positions);
  }
});
