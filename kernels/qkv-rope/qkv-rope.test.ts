import { expect, it } from "vitest";
import {
  firstDifference,
  poisoned,
  randomFloats,
  relativeError,
  runDispatches,
  sharedLoadHost,
  sharedLoadHosts,
  testGpu,
  uploadMatrix,
  uploadRun,
  uploadSchedule,
} from "../../test/gpu.ts";
import type { AttentionShape } from "../attention/attention.ts";
import { rowWidth, slotSize } from "../attention/testing/passes.ts";
import type { Dispatch, KernelHost } from "../kernel.ts";
import { linearRow } from "../linear/linear.ts";
import type { WeightFormat } from "../matrix.ts";
import { keptReference } from "../pack-weight/reference.ts";
import { rope } from "../rope/rope.ts";
import { qkvRope } from "./qkv-rope.ts";
import { qkvRopeReference } from "./reference.ts";

const gpu = await testGpu();
const slot = 1;

interface Case {
  readonly shape: AttentionShape;
  readonly size: number;
  readonly streams: number;
  readonly position: number;
  readonly format: WeightFormat;
  readonly bias: boolean;
  readonly rms: boolean;
}

const shapeOf = (
  heads: number,
  kvHeads: number,
  headSize: number,
  rotary: number,
  positions: number,
): AttentionShape => ({ heads, kvHeads, headSize, rotary, positions });

function setUp({ shape, size, streams, position, format, bias }: Case) {
  const width = rowWidth(shape);
  const { positions, rotary } = shape;
  const data = {
    h: randomFloats(1, streams * size, -2, 3),
    norm: randomFloats(2, 2 * size),
    weight: randomFloats(3, width * size),
    bias: bias ? randomFloats(4, width) : new Float32Array(0),
    angles: Float32Array.from({ length: Math.max(2, positions * rotary) }, (_, i) => {
      const pair = Math.floor(i / 2);
      const angle = Math.floor(pair / (rotary / 2)) * 10_000 ** (-(2 * (pair % (rotary / 2))) / rotary);
      return i % 2 === 0 ? Math.cos(angle) : Math.sin(angle);
    }),
  };
  // The third step of a schedule, where the position allows it.
  const step = Math.min(2, position);
  const buffers = {
    run: uploadRun(gpu, { rows: streams, length: 1 }, slot, position - step),
    schedule: uploadSchedule(gpu, step),
    angles: gpu.upload("angles", data.angles),
    h: gpu.upload("h", data.h),
    vectors: gpu.upload("vectors", Float32Array.of(...data.norm, ...data.bias)),
    weight: uploadMatrix(gpu, data.weight, [width, size], format),
  };
  return { data, buffers };
}

type SetUp = ReturnType<typeof setUp>;

/** The same with interleaved weights. */
const interleaved = (all: SetUp, c: Case): SetUp => {
  const shape = [rowWidth(c.shape), c.size] as const;
  const weight = uploadMatrix(gpu, all.data.weight, shape, c.format, { layout: "interleaved" });
  return { ...all, buffers: { ...all.buffers, weight } };
};

/** What `make` writes into NaN: q `[streams, H · hd]` and the caches. */
async function run(
  { shape, streams }: Case,
  make: (out: { qkv: GPUBuffer; keys: GPUBuffer; values: GPUBuffer }) => Dispatch[],
) {
  const words = (slot + streams + 1) * slotSize(shape);
  const out = {
    qkv: poisoned(gpu, "qkv", streams * rowWidth(shape) + 64),
    keys: poisoned(gpu, "keys", words),
    values: poisoned(gpu, "values", words),
  };
  await runDispatches(gpu, make(out), { rows: streams, length: 1 });
  const all = await gpu.readFloats(out.qkv);
  const keys = (await gpu.readFloats(out.keys)).subarray(0, words);
  return { qkv: all, keys, values: (await gpu.readFloats(out.values)).subarray(0, words) };
}

const together = ({ buffers }: SetUp, c: Case, host: KernelHost, rows?: number) => {
  const norm = { buffer: buffers.vectors, rms: c.rms };
  return run(c, (out) => [qkvRope(host, c.shape, { norm, biased: c.bias }, { ...buffers, ...out }, rows)]);
};

/** The product and the rotation, a dispatch each. */
const apart = ({ data, buffers }: SetUp, c: Case) => {
  const norm = { buffer: gpu.upload("norm", data.norm), rms: c.rms };
  return run(c, (out) => [
    ...linearRow(
      gpu,
      {
        weight: buffers.weight,
        ...(c.bias ? { bias: gpu.upload("bias", data.bias) } : {}),
        input: { buffer: buffers.h, stride: c.size },
        output: { buffer: out.qkv, stride: rowWidth(c.shape) },
        epilogue: "store",
      },
      norm,
    ),
    rope(gpu, c.shape, { ...buffers, ...out }),
  ]);
};

/** The values, with NaN where nothing may be written. */
function expected({ data }: SetUp, c: Case) {
  const { shape, size, streams, position } = c;
  const [q, kv] = [shape.heads * shape.headSize, shape.kvHeads * shape.headSize];
  const width = rowWidth(shape);
  const qkv = new Float64Array(streams * width + 64).fill(Number.NaN);
  const keys = new Float64Array((slot + streams + 1) * slotSize(shape)).fill(Number.NaN);
  const values = keys.slice();
  for (let row = 0; row < streams; row++) {
    const turned = qkvRopeReference(
      data.h.subarray(row * size, (row + 1) * size),
      {
        norm: data.norm,
        weight: keptReference(data.weight, size, c.format),
        ...(c.bias ? { bias: data.bias } : {}),
      },
      data.angles.subarray(position * shape.rotary, (position + 1) * shape.rotary),
      shape,
      { rms: c.rms },
    );
    qkv.set(turned.subarray(0, q), row * width);
    const at = (slot + row) * slotSize(shape) + position * kv;
    keys.set(turned.subarray(q, q + kv), at);
    values.set(turned.subarray(q + kv), at);
  }
  return { qkv, keys, values };
}

/** The error over the numbers; NaN must be at the same places in both. */
function errorOf(actual: Float32Array, right: Float64Array): number {
  const wrong = right.findIndex((value, i) => Number.isNaN(value) !== Number.isNaN(actual[i]!));
  if (wrong !== -1) throw new Error(`${actual[wrong]} at ${wrong}, not ${right[wrong]}`);
  const numbers = (of: ArrayLike<number>) => Array.from(of).filter((value) => !Number.isNaN(value));
  return relativeError(numbers(actual), numbers(right));
}

const base = { streams: 2, position: 5, format: "f32", bias: true, rms: false } as const;
const cases: Case[] = [
  { ...base, shape: shapeOf(1, 1, 1, 0, 7), size: 1 },
  { ...base, shape: shapeOf(3, 1, 3, 2, 9), size: 33, streams: 3, format: "f16", rms: true, bias: false },
  { ...base, shape: shapeOf(6, 3, 8, 2, 90), size: 48, position: 89 },
  { ...base, shape: shapeOf(8, 1, 20, 4, 65), size: 65, streams: 1, position: 0, format: "q8" },
  { ...base, shape: shapeOf(2, 2, 64, 16, 71), size: 128, streams: 5, format: "f16" },
  { ...base, shape: shapeOf(4, 1, 64, 64, 9), size: 256, format: "q4", bias: false, rms: true },
  { ...base, shape: shapeOf(1, 1, 129, 10, 9), size: 769, format: "f16" },
];

/** Hosts whose workgroups share nothing, as on a GPU, and those by lanes. */
const hosts = sharedLoadHosts(gpu);

it.each(cases)("agrees with the reference and writes nothing else, for %o", async (c) => {
  const all = setUp(c);
  const right = expected(all, c);
  const actual = await together(all, c, sharedLoadHost(gpu, 0));
  for (const part of ["qkv", "keys", "values"] as const) {
    expect(errorOf(actual[part], right[part])).toBeLessThan(3e-6);
  }
});

it.each(cases)("gives, bit for bit, what a product and rope give, for %o", async (c) => {
  const all = setUp(c);
  const right = await apart(all, c);
  const { heads, headSize } = c.shape;
  const width = rowWidth(c.shape);
  const ways = [
    ...hosts.map((host) => [all, host] as const),
    [interleaved(all, c), sharedLoadHost(gpu, 0)] as const,
  ];
  for (const [given, host] of ways) {
    const actual = await together(given, c, host);
    for (let row = 0; row < c.streams; row++) {
      const [from, to] = [row * width, row * width + heads * headSize];
      expect(firstDifference(actual.qkv.subarray(from, to), right.qkv.subarray(from, to))).toBe(-1);
    }
    expect(firstDifference(actual.keys, right.keys)).toBe(-1);
    expect(firstDifference(actual.values, right.values)).toBe(-1);
  }
});

it("gives the same bits however many rows of W a workgroup takes", async () => {
  const c = cases[1]!;
  const all = setUp(c);
  const host = sharedLoadHost(gpu, 0);
  const right = await together(all, c, host);
  for (const rows of [2, 6, 30]) {
    for (const given of [all, interleaved(all, c)]) {
      const actual = await together(given, c, host, rows);
      for (const part of ["qkv", "keys", "values"] as const) {
        expect(firstDifference(actual[part], right[part])).toBe(-1);
      }
    }
  }
});

it("leaves the cache alone where it ends, least of all does it write into the next slot", async () => {
  const c: Case = { ...base, shape: shapeOf(2, 1, 8, 4, 10), size: 33, position: 10 };
  const all = setUp(c);
  const actual = await together(all, c, sharedLoadHost(gpu, 0));
  expect(actual.keys.every(Number.isNaN)).toBe(true);
  expect(actual.values.every(Number.isNaN)).toBe(true);
});
