import { expect, it } from "vitest";
import {
  firstDifference,
  poisoned,
  randomFloats,
  relativeError,
  runDispatches,
  testGpu,
  uploadRun,
  uploadSchedule,
} from "../../test/gpu.ts";
import type { AttentionShape } from "../attention/attention.ts";
import { rowWidth, runShapeOf, slotSize, type TestPass } from "../attention/testing/passes.ts";
import { ropeReference } from "./reference.ts";
import { rope } from "./rope.ts";

const gpu = await testGpu();

/** cos, sin of each position and frequency, `[P, R/2, 2]`, base 10000. */
const anglesOf = ({ positions, rotary }: AttentionShape): Float32Array<ArrayBuffer> =>
  Float32Array.from({ length: Math.max(2, positions * rotary) }, (_, i) => {
    const pair = Math.floor(i / 2);
    const angle = Math.floor(pair / (rotary / 2)) * 10_000 ** (-(2 * (pair % (rotary / 2))) / rotary);
    return i % 2 === 0 ? Math.cos(angle) : Math.sin(angle);
  });

/** Runs `rope` into a cache of NaN. */
async function run(
  shape: AttentionShape,
  pass: TestPass,
  qkv: Float32Array<ArrayBuffer>,
  angles: Float32Array<ArrayBuffer>,
) {
  const words = (pass.slot + pass.streams + 1) * slotSize(shape);
  const buffers = {
    run: uploadRun(gpu, runShapeOf(pass), pass.slot, Math.max(0, pass.start - 1)),
    schedule: uploadSchedule(gpu, Math.min(1, pass.start)),
    angles: gpu.upload("angles", angles),
    qkv: poisoned(gpu, "qkv", qkv.length + 64, qkv),
    keys: poisoned(gpu, "keys", words),
    values: poisoned(gpu, "values", words),
  };
  await runDispatches(gpu, [rope(gpu, shape, buffers)], runShapeOf(pass));
  const read = (buffer: GPUBuffer) => gpu.readFloats(buffer);
  const [rotated, keys, values] = [
    await read(buffers.qkv),
    await read(buffers.keys),
    await read(buffers.values),
  ];
  return { qkv: rotated, keys: keys.subarray(0, words), values: values.subarray(0, words) };
}

/** The expected `qkv`, keys and values; NaN where nothing may be written. */
function expected(shape: AttentionShape, pass: TestPass, qkv: Float32Array, angles: Float32Array) {
  const { heads, kvHeads, headSize, rotary } = shape;
  const width = rowWidth(shape);
  const [q, kv] = [heads * headSize, kvHeads * headSize];
  const out = new Float64Array(qkv.length + 64).fill(Number.NaN);
  out.set(qkv);
  const keys = new Float64Array((pass.slot + pass.streams + 1) * slotSize(shape)).fill(Number.NaN);
  const values = keys.slice();
  for (let row = 0; row < runShapeOf(pass).rows; row++) {
    const position = pass.start + (row % pass.length);
    const turned = ropeReference(
      qkv.subarray(row * width, (row + 1) * width),
      angles.subarray(position * rotary, (position + 1) * rotary),
      shape,
    );
    out.set(turned.subarray(0, q), row * width);
    const at = (pass.slot + Math.floor(row / pass.length)) * slotSize(shape) + position * kv;
    keys.set(turned.subarray(q, q + kv), at);
    values.set(turned.subarray(q + kv), at);
  }
  return { qkv: out, keys, values };
}

/** The error over the numbers; NaN must be at the same places in both. */
function errorOf(actual: Float32Array, right: Float64Array): number {
  const wrong = right.findIndex((value, i) => Number.isNaN(value) !== Number.isNaN(actual[i]!));
  if (wrong !== -1) throw new Error(`${actual[wrong]} at ${wrong}, not ${right[wrong]}`);
  return relativeError(
    actual.filter((value) => !Number.isNaN(value)),
    right.filter((value) => !Number.isNaN(value)),
  );
}

const cases: [
  h: number,
  kv: number,
  size: number,
  r: number,
  p: number,
  n: number,
  length: number,
  start: number,
][] = [
  [1, 1, 1, 0, 70, 1, 65, 5],
  [3, 1, 3, 2, 20, 3, 7, 0],
  [6, 3, 8, 0, 333, 2, 9, 200],
  [6, 3, 8, 2, 333, 2, 9, 200],
  [8, 1, 20, 4, 65, 1, 1, 64],
  [12, 12, 64, 16, 193, 1, 130, 63],
  [8, 1, 64, 64, 201, 5, 1, 200],
  [4, 4, 80, 20, 71, 4, 8, 63],
  [6, 3, 128, 128, 9, 3, 9, 0],
  [1, 1, 256, 64, 73, 2, 7, 64],
];

it.each(cases)(
  "rotates and fills the cache as the reference does: H %i, KV %i, heads of %i, R %i, P %i, %i streams of %i from %i",
  async (heads, kvHeads, headSize, rotary, positions, streams, length, start) => {
    const shape = { heads, kvHeads, headSize, rotary, positions };
    const pass = { slot: 1, streams, length, start };
    const angles = anglesOf(shape);
    const qkv = randomFloats(headSize, runShapeOf(pass).rows * rowWidth(shape));
    const actual = await run(shape, pass, qkv, angles);
    const right = expected(shape, pass, qkv, angles);
    for (const part of ["qkv", "keys", "values"] as const) {
      expect(errorOf(actual[part], right[part])).toBeLessThan(2e-7);
    }
  },
);

it("gives a row the same bits alone as in a prompt", async () => {
  const shape = { heads: 3, kvHeads: 3, headSize: 20, rotary: 10, positions: 90 };
  const pass = { slot: 0, streams: 1, length: 20, start: 63 };
  const width = rowWidth(shape);
  const qkv = randomFloats(1, pass.length * width);
  const all = await run(shape, pass, qkv, anglesOf(shape));
  const row = qkv.slice(13 * width, 14 * width);
  const alone = await run(shape, { ...pass, length: 1, start: 76 }, row, anglesOf(shape));
  expect(firstDifference(alone.qkv.subarray(0, width), all.qkv.subarray(13 * width, 14 * width))).toBe(-1);
  const at = 76 * 60;
  expect(firstDifference(alone.keys.subarray(at, at + 60), all.keys.subarray(at, at + 60))).toBe(-1);
});

it("writes nothing where the cache ends, least of all into the next slot", async () => {
  const shape = { heads: 1, kvHeads: 1, headSize: 8, rotary: 4, positions: 10 };
  const pass = { slot: 0, streams: 1, length: 6, start: 7 };
  const qkv = randomFloats(2, pass.length * rowWidth(shape));
  const { keys, values } = await run(shape, pass, qkv, anglesOf(shape));
  for (const cache of [keys, values]) {
    const written = Array.from(cache, (value) => !Number.isNaN(value));
    expect(written).toEqual(written.map((_, i) => i >= 7 * 8 && i < 10 * 8));
  }
});
