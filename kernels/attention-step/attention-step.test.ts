import { expect, it } from "vitest";
import { firstDifference, poisoned, relativeError, testGpu } from "../../test/gpu.ts";
import { type AttentionShape, attention } from "../attention/attention.ts";
import {
  attend,
  dataOf,
  expectedOf,
  partOf,
  type TestData,
  type TestPass,
} from "../attention/testing/passes.ts";
import { attentionStep, partialsBytes } from "./attention-step.ts";

const gpu = await testGpu();

const shapeOf = (heads: number, kvHeads: number, headSize: number, positions: number): AttentionShape => ({
  heads,
  kvHeads,
  headSize,
  rotary: 0,
  positions,
});

async function step(shape: AttentionShape, pass: TestPass, data: TestData): Promise<Float32Array> {
  const partials = poisoned(gpu, "partials", partialsBytes(shape, pass.streams * pass.length) / 4);
  const values = await attend(gpu, shape, pass, data, (buffers) =>
    attentionStep(gpu, shape, { ...buffers, partials }),
  );
  partials.destroy();
  return values;
}

const cases: [heads: number, kv: number, size: number, p: number, streams: number, start: number][] = [
  [1, 1, 1, 130, 1, 0],
  [3, 1, 3, 100, 7, 5],
  [6, 3, 8, 129, 65, 63],
  [8, 1, 20, 333, 9, 200],
  [4, 4, 64, 200, 8, 64],
  [12, 12, 64, 2048, 2, 2000],
  [3, 1, 80, 203, 1, 202],
  [6, 3, 128, 333, 3, 127],
  [1, 1, 130, 77, 2, 5],
  [8, 1, 256, 71, 2, 64],
  [6, 3, 5, 9, 130, 8],
  [2, 1, 8, 4200, 2, 4199],
  [1, 1, 4, 70_000, 1, 69_000],
];

it.each(cases)(
  "agrees with the reference: H %i, KV %i, heads of %i, P %i, %i streams at %i",
  async (heads, kvHeads, size, positions, streams, start) => {
    const shape = shapeOf(heads, kvHeads, size, positions);
    const pass = { slot: 1, streams, length: 1, start };
    const data = dataOf(1, shape, pass);
    expect(relativeError(await step(shape, pass, data), expectedOf(shape, pass, data))).toBeLessThan(2e-6);
  },
);

it.each([
  [64, 60],
  [20, 1000],
])("keeps scores of heads of %i and of about ±%i finite", async (size, score) => {
  const shape = shapeOf(2, 1, size, 333);
  const pass = { slot: 0, streams: 5, length: 1, start: 300 };
  // The rounding of a score shows in its weight, and more so for larger scores.
  const data = dataOf(2, shape, pass, score * 2);
  const values = await step(shape, pass, data);
  expect(relativeError(values, expectedOf(shape, pass, data))).toBeLessThan(score * 1e-6);
});

it("gives a row the same bits as in a prompt, with splits of one chunk and of several", async () => {
  const tried: [shape: AttentionShape, start: number][] = [
    [shapeOf(6, 3, 20, 333), 60],
    [shapeOf(2, 1, 64, 333), 121],
    [shapeOf(2, 1, 3, 5000), 300],
    [{ ...shapeOf(1, 1, 129, 2200), scale: 3 }, 1200],
  ];
  for (const [shape, start] of tried) {
    const pass = { slot: 1, streams: 2, length: 100, start };
    const data = dataOf(3, shape, pass, 5);
    const width = shape.heads * shape.headSize;
    const prompt = await attend(gpu, shape, pass, data, (buffers) => [attention(gpu, shape, buffers)]);
    expect(firstDifference(await step(shape, pass, data), prompt)).toBe(-1);
    for (const first of [0, 3, 4, 71, 99]) {
      const alone = await step(shape, ...partOf(shape, pass, data, [1, first, 1]));
      const from = (pass.length + first) * width;
      expect(firstDifference(alone, prompt.subarray(from, from + width))).toBe(-1);
    }
  }
});

it("gives a row the same bits whatever other streams share the pass", async () => {
  const shape = shapeOf(8, 2, 20, 333);
  const pass = { slot: 1, streams: 9, length: 1, start: 200 };
  const data = dataOf(4, shape, pass);
  const all = await step(shape, pass, data);
  for (const stream of [0, 4, 8]) {
    const alone = await step(shape, ...partOf(shape, pass, data, [stream, 0, 1]));
    expect(firstDifference(alone, all.subarray(stream * 160, (stream + 1) * 160))).toBe(-1);
  }
});
