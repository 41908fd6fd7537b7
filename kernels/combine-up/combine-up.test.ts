import { describe, expect, it } from "vitest";
import {
  firstDifference,
  looseState,
  mulberry32,
  poisoned,
  randomFloats,
  relativeError,
  runDispatches,
  sharedLoadHost,
  sharedLoadHosts,
  testGpu,
  untouched,
  uploadBlock,
  uploadMatrix,
  uploadRun,
  uploadSchedule,
} from "../../test/gpu.ts";
import { combine } from "../combine/combine.ts";
import { tailReference } from "../combine/reference.ts";
import type { Dispatch, KernelHost } from "../kernel.ts";
import { linearRow } from "../linear/linear.ts";
import type { WeightFormat } from "../matrix.ts";
import { memoryCombine } from "../memory-combine/memory-combine.ts";
import { memoryCombineReference } from "../memory-combine/reference.ts";
import { decayTable } from "../memory-scan/memory-scan.ts";
import { memoryStep } from "../memory-step/memory-step.ts";
import { keptReference } from "../pack-weight/reference.ts";
import { combineUp } from "./combine-up.ts";
import { combineUpReference } from "./reference.ts";

// The two kernels work on each other's buffers, so they are tested together.

const gpu = await testGpu();
/** The host whose workgroups share nothing but their memory: that of a GPU. */
const plain = sharedLoadHost(gpu, 0);
const [slot, layer, layers, step] = [2, 1, 3, 2];
const [alpha, gain] = [0.3, 0.7];

interface Case {
  readonly size: number;
  readonly inner: number;
  readonly streams: number;
  readonly tail: number;
  readonly format: WeightFormat;
  readonly gated: boolean;
  readonly pvm: boolean;
  readonly plm: boolean;
}

const interleaved = (bias: Float32Array): Float32Array<ArrayBuffer> =>
  Float32Array.from(bias, (_, i) => bias[(i >> 1) + (i % 2) * (bias.length / 2)]!);

function setUp({ size, inner, streams, tail, format, pvm, plm }: Case) {
  const layout = looseState(size, layers, tail, { pvm, plm });
  const next = mulberry32(1);
  const products = plm ? 3 : 1;
  const data = {
    // ψ and θ of every step, row and block.
    angles: Array.from({ length: (step + 1) * streams * layers }, () => [20 * next(), 20 * next()] as const),
    decay: Array.from({ length: Math.ceil(size / 2) }, () => ({
      beta: next(),
      alpha: next(),
      lambda: next(),
      omega: next(),
    })),
    h: randomFloats(1, streams * size),
    mixed: randomFloats(2, streams * 2 * size),
    state: randomFloats(3, (slot + streams + 1) * layout.slotStride),
    memory: randomFloats(4, products * size * size),
    memoryBias: randomFloats(5, 3 * size),
    combine: randomFloats(6, 5 * size),
    norm: randomFloats(7, 2 * size),
    up: randomFloats(8, 2 * inner * size),
    upBias: randomFloats(9, 2 * inner),
  };
  const angles = data.angles.flatMap(([psi, theta]) => [
    Math.cos(psi),
    Math.sin(psi),
    Math.cos(theta),
    Math.sin(theta),
  ]);
  const shape = { rows: streams, length: 1 };
  const upBias = interleaved(data.upBias);
  const shared = {
    run: uploadRun(gpu, shape, slot),
    schedule: uploadSchedule(gpu, step, angles),
    block: uploadBlock(gpu, layer, alpha, gain),
    decay: gpu.upload("decay", decayTable(data.decay).slice()),
  };
  const weights = {
    memory: uploadMatrix(gpu, data.memory, [products * size, size], format),
    memoryBias: gpu.upload("bias", data.memoryBias),
    memoryVectors: gpu.upload(
      "vectors",
      Float32Array.of(...data.memoryBias, ...data.combine.subarray(2 * size)),
    ),
    combine: gpu.upload("combine", data.combine),
    norm: gpu.upload("norm", data.norm),
    up: uploadMatrix(gpu, data.up, [2 * inner, size], format, { gated: true }),
    upBias: gpu.upload("bias", upBias),
    upVectors: gpu.upload(
      "vectors",
      Float32Array.of(...data.combine.subarray(0, 2 * size), ...data.norm, ...upBias),
    ),
  };
  return { layout, data, shape, shared, weights };
}

type SetUp = ReturnType<typeof setUp>;

/** The same with interleaved rows of the matrices. */
function withInterleavedRows(all: SetUp, { size, inner, format, plm }: Case): SetUp {
  const { data, weights } = all;
  const options = { layout: "interleaved" } as const;
  const memory = uploadMatrix(gpu, data.memory, [(plm ? 3 : 1) * size, size], format, options);
  const up = uploadMatrix(gpu, data.up, [2 * inner, size], format, { gated: true, ...options });
  return { ...all, weights: { ...weights, memory, up } };
}

/** The buffers of a pass: inputs as given, outputs full of NaN. */
const working = ({ data, shape }: SetUp, { size, inner }: Case) => ({
  state: gpu.upload("state", data.state),
  h: gpu.upload("h", data.h),
  mixed: gpu.upload("mixed", data.mixed),
  gates: poisoned(gpu, "gates", shape.rows * 2 * size + 64),
  memory: poisoned(gpu, "memory", shape.rows * 2 * size + 64),
  plm: poisoned(gpu, "plm", shape.rows * size + 64),
  after: poisoned(gpu, "after", shape.rows * size + 64),
  inner: poisoned(gpu, "inner", shape.rows * inner + 64),
});

type Working = ReturnType<typeof working>;

async function run(all: SetUp, c: Case, make: (on: Working) => readonly Dispatch[]) {
  const on = working(all, c);
  await runDispatches(gpu, make(on), all.shape);
  const names = Object.keys(on) as (keyof Working)[];
  const values = await Promise.all(names.map((name) => gpu.readFloats(on[name])));
  for (const name of names) on[name].destroy();
  return Object.fromEntries(names.map((name, i) => [name, values[i]!])) as Record<
    keyof Working,
    Float32Array
  >;
}

const together = (
  all: SetUp,
  c: Case,
  host: KernelHost,
  [columns, rows]: readonly [columns?: number, rows?: number] = [],
) =>
  run(all, c, (on) => {
    const { layout, shared, weights } = all;
    const memory = { ...shared, ...on, weight: weights.memory, vectors: weights.memoryVectors };
    const up = { ...shared, ...on, weight: weights.up, vectors: weights.upVectors };
    return [
      memoryCombine(host, c.size, layers, layout, c.gated, memory, columns),
      combineUp(host, c.size, layout, up, rows),
    ];
  });

const apart = (all: SetUp, c: Case) =>
  run(all, c, (on) => {
    const { layout, shared, weights } = all;
    const { size, inner } = c;
    return [
      memoryStep(gpu, size, layout, c.gated, {
        ...shared,
        ...on,
        weight: weights.memory,
        bias: weights.memoryBias,
      }),
      combine(gpu, size, layers, layout, { ...shared, ...on, weights: weights.combine }),
      ...linearRow(
        gpu,
        {
          weight: weights.up,
          bias: weights.upBias,
          input: { buffer: on.h, stride: size },
          output: { buffer: on.inner, stride: inner },
          epilogue: "gated",
        },
        weights.norm,
      ),
    ];
  });

const base: Case = {
  size: 48,
  inner: 40,
  streams: 2,
  tail: 3,
  format: "f32",
  gated: true,
  pvm: true,
  plm: true,
};
const cases: Case[] = [
  { ...base, size: 2, inner: 1, streams: 3 },
  { ...base, size: 34, inner: 33, tail: 0, format: "f16" },
  { ...base, size: 64, streams: 5, tail: 1, gated: false, format: "f16" },
  { ...base, size: 66, inner: 7, format: "q8", pvm: false },
  { ...base, size: 256, inner: 130, format: "q4" },
  { ...base, size: 1, inner: 3, plm: false, gated: false },
  { ...base, size: 65, inner: 65, tail: 2, plm: false },
  { ...base, size: 769, inner: 17, plm: false, gated: false, format: "f16" },
];

/** Both kernels' results for one row, by the references. */
function expected({ data, layout }: SetUp, c: Case, row: number) {
  const { size, format } = c;
  const at = (slot + row) * layout.slotStride + layer * layout.layerStride + c.tail * size;
  const [psi, theta] = data.angles[(step * c.streams + row) * layers + layer]!;
  const first = row * 2 * size;
  const x = data.mixed.subarray(first, first + size);
  const vector = (i: number) => data.combine.subarray(i * size, (i + 1) * size);
  const weight = new Float32Array(3 * size * size);
  weight.set(keptReference(data.memory, size, format));
  const memories = memoryCombineReference(
    {
      x,
      u: data.mixed.subarray(first + size, first + 2 * size),
      m: data.state.subarray(at, at + size),
      z: data.state.subarray(at + (c.pvm ? size : 0), at + (c.pvm ? 2 : 1) * size),
      psi,
      theta,
    },
    data.decay,
    { weight, bias: data.memoryBias },
    { cosine: vector(2), sine: vector(3), bias: vector(4), alpha, gain },
    c,
  );
  const h = data.h.subarray(row * size, (row + 1) * size);
  const norms = Float32Array.of(...data.combine.subarray(0, 2 * size), ...data.norm);
  const up = { norms, weight: keptReference(data.up, size, format), bias: data.upBias };
  const tail = tailReference(data.state.subarray(at - c.tail * size, at), Array.from(x), c.tail, size);
  return { x, tail, at, ...memories, ...combineUpReference(memories.sum, h, up) };
}

describe.each(cases)("for %o", (c) => {
  const { size, inner, streams } = c;
  const all = setUp(c);
  const right = Array.from({ length: streams }, (_, row) => expected(all, c, row));

  it("agrees with the reference, and changes of the state only what it must", async () => {
    const values = await together(all, c, plain);
    expect(untouched(values.gates, streams * 2 * size)).toBe(true);
    expect(untouched(values.memory, streams * 2 * size)).toBe(true);
    expect(untouched(values.after, streams * size)).toBe(true);
    expect(untouched(values.inner, streams * inner)).toBe(true);
    expect(firstDifference(values.h.subarray(0, streams * size), all.data.h)).toBe(-1);
    const state = all.data.state.slice();
    const close = (actual: Float32Array, correct: ArrayLike<number>, tolerance = 3e-6) =>
      expect(relativeError(actual, correct)).toBeLessThan(tolerance);
    right.forEach((row, i) => {
      const part = (of: Float32Array, width: number, from = 0, count = width) =>
        of.subarray(i * width + from, i * width + from + count);
      close(part(values.mixed, 2 * size, 0, size), row.sum);
      close(part(values.gates, 2 * size, 0, size), row.pvmGate);
      if (c.plm) close(part(values.gates, 2 * size, size, size), row.plmGate);
      close(part(values.after, size), row.after);
      // LN3 divides by a deviation that two norms and a product have rounded.
      close(part(values.inner, inner), row.inner, 1e-5);
      state.set(row.tail, row.at - c.tail * size);
      if (c.pvm) {
        const m = part(values.memory, 2 * size, 0, size);
        close(m, row.m);
        state.set(m, row.at);
      }
      if (c.plm) {
        const z = part(values.memory, 2 * size, size, size);
        close(z, row.z);
        state.set(z, row.at + (c.pvm ? size : 0));
      }
    });
    expect(firstDifference(values.state, state)).toBe(-1);
  });

  it("gives, bit for bit, what memory-step, combine and linear-row give", async () => {
    const separate = await apart(all, c);
    // Compiling takes all of this test's time, so only one case has every host.
    const ways = [
      ...(c === cases[1] ? sharedLoadHosts(gpu) : [plain]).map((host) => [host, all] as const),
      [plain, withInterleavedRows(all, c)] as const,
    ];
    for (const [host, given] of ways) {
      const values = await together(given, c, host);
      const h = separate.h.subarray(0, streams * size);
      expect(firstDifference(values.after.subarray(0, streams * size), h)).toBe(-1);
      for (const part of ["inner", "state", "memory"] as const) {
        expect(firstDifference(values[part], separate[part])).toBe(-1);
      }
      if (c.plm) expect(firstDifference(values.gates, separate.gates)).toBe(-1);
    }
  });
});

it("gives the same bits however many columns and rows of W a workgroup takes", async () => {
  const c = cases[1]!;
  const all = setUp(c);
  const values = await together(all, c, plain);
  for (const [columns, rows] of [
    [1, 2],
    [3, 30],
    [40, 80], // more than 64 threads, where rows are interleaved
  ] as const) {
    for (const given of [all, withInterleavedRows(all, c)]) {
      const other = await together(given, c, plain, [columns, rows]);
      for (const part of ["mixed", "gates", "after", "inner", "state"] as const) {
        expect(firstDifference(other[part], values[part])).toBe(-1);
      }
    }
  }
});
