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
import type { KernelHost } from "../kernel.ts";
import { linearTiled, type Product } from "../linear/linear.ts";
import type { WeightFormat } from "../matrix.ts";
import { decayTable, memoryScan } from "../memory-scan/memory-scan.ts";
import { keptReference } from "../pack-weight/reference.ts";
import { memoryStep } from "./memory-step.ts";
import { memoryStepReference } from "./reference.ts";

const gpu = await testGpu();
const [slot, layer, layers] = [2, 1, 2];

interface Case {
  readonly size: number;
  readonly streams: number;
  readonly format: WeightFormat;
  readonly gated: boolean;
  readonly pvm: boolean;
  readonly plm: boolean;
}

function setUp({ size, streams, format, pvm, plm }: Case) {
  const layout = looseState(size, layers, 3, { pvm, plm });
  const next = mulberry32(1);
  const products = plm ? 3 : 1;
  const data = {
    mixed: randomFloats(2, streams * 2 * size),
    state: randomFloats(3, (slot + streams + 1) * layout.slotStride),
    weight: randomFloats(4, products * size * size),
    bias: randomFloats(5, products * size),
    decay: Array.from({ length: Math.ceil(size / 2) }, () => ({
      beta: next(),
      alpha: next(),
      lambda: next(),
      omega: next(),
    })),
  };
  const shape = { rows: streams, length: 1 };
  const buffers = {
    run: uploadRun(gpu, shape, slot),
    schedule: uploadSchedule(gpu, 0),
    block: uploadBlock(gpu, layer),
    mixed: gpu.upload("mixed", data.mixed),
    decay: gpu.upload("decay", decayTable(data.decay).slice()),
    state: gpu.upload("state", data.state),
    weight: uploadMatrix(gpu, data.weight, [products * size, size], format),
    bias: gpu.upload("bias", data.bias),
  };
  return { layout, data, shape, buffers };
}

type SetUp = ReturnType<typeof setUp>;

/** The same with interleaved weights. */
const interleaved = (all: SetUp, { size, plm, format }: Case): SetUp => {
  const shape = [(plm ? 3 : 1) * size, size] as const;
  const weight = uploadMatrix(gpu, all.data.weight, shape, format, { layout: "interleaved" });
  return { ...all, buffers: { ...all.buffers, weight } };
};

const outputs = (words: number) => ({
  gates: poisoned(gpu, "gates", words + 64),
  memory: poisoned(gpu, "memory", words + 64),
  plm: poisoned(gpu, "plm", words / 2 + 64),
});

type Outputs = ReturnType<typeof outputs>;

const read = async ({ gates, memory, plm }: Outputs) => ({
  gates: await gpu.readFloats(gates),
  memory: await gpu.readFloats(memory),
  plm: await gpu.readFloats(plm),
});

async function step({ layout, shape, buffers }: SetUp, c: Case, columns?: number, host: KernelHost = gpu) {
  const out = outputs(c.streams * 2 * c.size);
  await runDispatches(
    gpu,
    [memoryStep(host, c.size, layout, c.gated, { ...buffers, ...out }, columns)],
    shape,
  );
  return read(out);
}

async function apart({ layout, shape, buffers }: SetUp, c: Case) {
  const { size } = c;
  const out = outputs(c.streams * 2 * size);
  // The tiles of a batch of 16 have the bits of every other batch's, and compile fastest.
  const product = (p: Omit<Product, "weight" | "bias">) =>
    linearTiled(gpu, buffers.run, { weight: buffers.weight, bias: buffers.bias, ...p }, 16);
  const gate = product({
    rows: [0, c.plm ? 2 * size : size],
    ...(c.gated ? {} : { columns: 0 }),
    input: { buffer: buffers.mixed, stride: 2 * size, offset: size },
    output: { buffer: out.gates, stride: 2 * size },
    epilogue: "sigmoid",
  });
  const lattice = c.plm
    ? product({
        rows: [2 * size, size],
        input: { buffer: out.memory, stride: 2 * size, offset: size },
        output: { buffer: out.plm, stride: size },
        epilogue: "store",
      })
    : [];
  const ends = poisoned(gpu, "ends", c.streams * size * 4);
  const scan = memoryScan(gpu, size, layout, { ...buffers, ends, memory: out.memory });
  await runDispatches(gpu, [...scan, ...gate, ...lattice], shape);
  return read(out);
}

const base: Case = { size: 48, streams: 2, format: "f32", gated: true, pvm: true, plm: true };
const cases: Case[] = [
  { ...base, size: 2, streams: 3 },
  { ...base, size: 34, format: "f16" },
  { ...base, size: 64, streams: 5, gated: false, format: "f16" },
  { ...base, size: 66, format: "f16", pvm: false },
  { ...base, size: 256 },
  { ...base, size: 66, format: "q8" },
  { ...base, size: 64, format: "q4" },
  { ...base, size: 1, plm: false, gated: false },
  { ...base, size: 33, plm: false, gated: false, format: "f16" },
  { ...base, size: 65, plm: false },
  { ...base, size: 769, plm: false, gated: false },
];

describe.each(cases)("for %o", (c) => {
  const { size, streams } = c;
  const all = setUp(c);

  it("agrees with the reference", async () => {
    const { data, layout } = all;
    const values = await step(all, c);
    expect(untouched(values.gates, streams * 2 * size)).toBe(true);
    expect(untouched(values.memory, streams * 2 * size)).toBe(true);
    expect(untouched(values.plm, c.plm ? streams * size : 0)).toBe(true);
    const weight = keptReference(data.weight, size, c.format);
    const padded = { weight: new Float32Array(3 * size * size), bias: new Float32Array(3 * size) };
    padded.weight.set(weight);
    padded.bias.set(data.bias);
    for (let stream = 0; stream < streams; stream++) {
      const at = (slot + stream) * layout.slotStride + layer * layout.layerStride + layout.tail * size;
      const m = data.state.subarray(at, at + size);
      const z = data.state.subarray(at + (c.pvm ? size : 0), at + (c.pvm ? 2 : 1) * size);
      const first = stream * 2 * size;
      const u = data.mixed.subarray(first + size, first + 2 * size);
      const expected = memoryStepReference(u, data.decay, { m, z }, padded, c.gated, size);
      const close = (actual: Float32Array, right: Float64Array) =>
        expect(relativeError(actual, right)).toBeLessThan(2e-6);
      close(values.gates.subarray(first, first + size), expected.pvmGate);
      if (c.pvm) close(values.memory.subarray(first, first + size), expected.m);
      if (c.plm) {
        close(values.gates.subarray(first + size, first + 2 * size), expected.plmGate);
        close(values.memory.subarray(first + size, first + 2 * size), expected.z);
        close(values.plm.subarray(stream * size, (stream + 1) * size), expected.plm);
      }
    }
  });

  it("gives, bit for bit, what the kernels of a pass give for one token", async () => {
    const together = await step(all, c);
    const separate = await apart(all, c);
    expect(firstDifference(together.gates, separate.gates)).toBe(-1);
    expect(firstDifference(together.memory, separate.memory)).toBe(-1);
    expect(firstDifference(together.plm, separate.plm)).toBe(-1);
    const ahead = await step(interleaved(all, c), c, undefined, sharedLoadHost(gpu, 0));
    expect(firstDifference(ahead.gates, together.gates)).toBe(-1);
    expect(firstDifference(ahead.memory, together.memory)).toBe(-1);
    expect(firstDifference(ahead.plm, together.plm)).toBe(-1);
  });
});

it("gives the same bits however many columns share a workgroup", async () => {
  const all = setUp(base);
  const values = await step(all, base);
  const others = [1, 3, 16].map((columns) => [columns, gpu] as const);
  for (const [columns, host] of [...others, ...sharedLoadHosts(gpu).map((host) => [64, host] as const)]) {
    const other = await step(all, base, columns, host);
    expect(firstDifference(other.gates, values.gates)).toBe(-1);
    expect(firstDifference(other.plm, values.plm)).toBe(-1);
  }
  const ofInterleaved = interleaved(all, base);
  for (const [columns, host] of [
    ...[1, 3, 32].map((columns) => [columns, sharedLoadHost(gpu, 0)] as const),
    ...sharedLoadHosts(gpu).map((host) => [64, host] as const),
  ]) {
    const other = await step(ofInterleaved, base, columns, host);
    expect(firstDifference(other.gates, values.gates)).toBe(-1);
    expect(firstDifference(other.plm, values.plm)).toBe(-1);
  }
});
