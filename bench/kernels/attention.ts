import { type AttentionShape, attention } from "../../kernels/attention/attention.ts";
import { attentionReference } from "../../kernels/attention/reference.ts";
import { attentionStep, partialsBytes } from "../../kernels/attention-step/attention-step.ts";
import { matrixBytes } from "../../kernels/matrix.ts";
import { keptReference } from "../../kernels/pack-weight/reference.ts";
import { qkvRope } from "../../kernels/qkv-rope/qkv-rope.ts";
import { qkvRopeReference } from "../../kernels/qkv-rope/reference.ts";
import { ropeReference } from "../../kernels/rope/reference.ts";
import { rope } from "../../kernels/rope/rope.ts";
import type { BenchCase } from "../harness/case.ts";
import { type Given, randomFloats } from "./given.ts";
import { type KernelWork, kernelCase, promptRows } from "./kernel-case.ts";

/** Pythia-160m's. */
const SHAPE: AttentionShape = { heads: 12, kvHeads: 12, headSize: 64, rotary: 16, positions: 2048 };
const HEADS = SHAPE.heads * SHAPE.headSize;
const WIDTH = 3 * HEADS;

/** cos, sin of each position and frequency, `[P, R/2, 2]`, base 10000. */
function anglesOf({ positions, rotary }: AttentionShape): Float32Array<ArrayBuffer> {
  return Float32Array.from({ length: positions * rotary }, (_, i) => {
    const [position, pair] = [Math.floor(i / rotary), Math.floor((i % rotary) / 2)];
    const angle = position * 10_000 ** ((-2 * pair) / rotary);
    return i % 2 === 0 ? Math.cos(angle) : Math.sin(angle);
  });
}

/** Rows of one stream from `start` on, with a cache that is full up to the last row. */
function setUp(given: Given, rows: number, start: number) {
  const data = {
    qkv: randomFloats(1, rows * WIDTH),
    keys: randomFloats(2, SHAPE.positions * HEADS),
    values: randomFloats(3, SHAPE.positions * HEADS),
  };
  const run = { rows, length: rows };
  const buffers = {
    run: given.run(run, start),
    schedule: given.schedule(),
    qkv: given.upload("qkv", data.qkv),
    keys: given.upload("keys", data.keys),
    values: given.upload("values", data.values),
    out: given.words("out", rows * HEADS),
  };
  return { data, run, buffers };
}

/** Number of keys that `rows` rows from `start` on read, all together. */
const pairsOf = (rows: number, start: number): number => rows * start + (rows * (rows + 1)) / 2;

const steps = kernelCase("attention-step", (given) =>
  [255, 2047].map((start): KernelWork => {
    const { data, run, buffers } = setUp(given, 1, start);
    const partials = given.words("partials", partialsBytes(SHAPE, 1) / 4);
    return {
      name: `attention-step, 12 heads of 64, 1 row after ${start}`,
      run,
      lists: [attentionStep(given.host, SHAPE, { ...buffers, partials })],
      bytes: 8 * HEADS * (start + 1) + 8 * HEADS,
      flops: 4 * HEADS * (start + 1),
      compare: async () => [
        await given.floats(buffers.out, 0, HEADS),
        attentionReference(data.qkv, data.keys, data.values, start, SHAPE),
      ],
    };
  }),
);

const prompts = kernelCase("attention", (given, bench) =>
  [0, 256].map((start): KernelWork => {
    const rows = promptRows(bench);
    const { data, run, buffers } = setUp(given, rows, start);
    return {
      name: `attention, 12 heads of 64, ${rows} rows after ${start}`,
      run,
      lists: [[attention(given.host, SHAPE, buffers)]],
      bytes: 8 * HEADS * (start + rows) + 8 * HEADS * rows,
      flops: 4 * HEADS * pairsOf(rows, start),
      async compare() {
        const last = data.qkv.subarray((rows - 1) * WIDTH);
        const values = await given.floats(buffers.out, (rows - 1) * HEADS, HEADS);
        return [values, attentionReference(last, data.keys, data.values, start + rows - 1, SHAPE)];
      },
    };
  }),
);

const ropes = kernelCase("rope", (given) =>
  [1, 256].map((rows): KernelWork => {
    const { data, run, buffers } = setUp(given, rows, 0);
    const { rotary } = SHAPE;
    const angles = anglesOf(SHAPE);
    return {
      name: `rope, 12 heads of 64, ${rows === 1 ? "1 row" : `${rows} rows`}`,
      run,
      lists: [[rope(given.host, SHAPE, { ...buffers, angles: given.upload("angles", angles) })]],
      bytes: 4 * rows * (WIDTH + rotary + HEADS / 4 + 2 * HEADS),
      flops: (6 * rows * 2 * SHAPE.heads * rotary) / 2,
      async compare() {
        const row = rows - 1;
        const at = angles.subarray(row * rotary, (row + 1) * rotary);
        const right = ropeReference(data.qkv.subarray(row * WIDTH), at, SHAPE);
        const [q, k, v] = await Promise.all([
          given.floats(buffers.qkv, row * WIDTH, HEADS),
          given.floats(buffers.keys, row * HEADS, HEADS),
          given.floats(buffers.values, row * HEADS, HEADS),
        ]);
        return [[...q, ...k, ...v], right];
      },
    };
  }),
);

const heads = kernelCase("qkv-rope", (given) => {
  const { rotary } = SHAPE;
  const start = 255;
  const { run, buffers } = setUp(given, 1, start);
  const data = {
    h: randomFloats(4, HEADS),
    norm: randomFloats(5, 2 * HEADS),
    bias: randomFloats(6, WIDTH),
    weight: randomFloats(7, WIDTH * HEADS),
    angles: anglesOf(SHAPE),
  };
  const h = given.upload("h", data.h);
  const angles = given.upload("angles", data.angles);
  const vectors = given.upload("vectors", Float32Array.of(...data.norm, ...data.bias));
  const weight = given.matrix(data.weight, [WIDTH, HEADS], "f16");
  const kind = { norm: { buffer: vectors }, biased: true };
  return [
    {
      name: "qkv-rope, 12 heads of 64, 1 row, f16",
      run,
      lists: [[qkvRope(given.host, SHAPE, kind, { ...buffers, h, angles, vectors, weight })]],
      bytes: matrixBytes(WIDTH, HEADS, "f16") + 4 * (3 * HEADS + 2 * WIDTH + rotary),
      flops: 2 * WIDTH * HEADS,
      async compare() {
        const right = qkvRopeReference(
          data.h,
          { ...data, weight: keptReference(data.weight, HEADS, "f16") },
          data.angles.subarray(start * rotary),
          SHAPE,
          {},
        );
        const [q, k, v] = await Promise.all([
          given.floats(buffers.qkv, 0, HEADS),
          given.floats(buffers.keys, start * HEADS, HEADS),
          given.floats(buffers.values, start * HEADS, HEADS),
        ]);
        return [[...q, ...k, ...v], right];
      },
    },
  ];
});

/** Attention, at Pythia-160m's size. */
export const attentionCases: readonly BenchCase[] = [heads, ropes, steps, prompts];
