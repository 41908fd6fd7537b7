import { expect, it } from "vitest";
import {
  firstDifference,
  looseState,
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
import { layerNorm } from "../layer-norm/layer-norm.ts";
import { linearTiled } from "../linear/linear.ts";
import type { WeightFormat } from "../matrix.ts";
import { keptReference } from "../pack-weight/reference.ts";
import { shortConv } from "../short-conv/short-conv.ts";
import { mixerStep } from "./mixer-step.ts";
import { mixerStepReference } from "./reference.ts";

const gpu = await testGpu();
const [slot, layer, layers] = [1, 1, 3];

function setUp(size: number, taps: number, streams: number, format: WeightFormat) {
  const layout = looseState(size, layers, Math.max(0, taps - 1), { pvm: true, plm: true });
  const data = {
    h: randomFloats(1, streams * size, -2, 3),
    state: randomFloats(2, (slot + streams + 1) * layout.slotStride),
    norm: randomFloats(3, 2 * size),
    conv: randomFloats(4, taps > 0 ? (taps + 1) * size : 0),
    weight: randomFloats(5, 2 * size * size),
    bias: randomFloats(6, 2 * size),
  };
  const bias = data.bias.map((_, i) => data.bias[Math.floor(i / 2) + (i % 2) * size]!);
  const shape = { rows: streams, length: 1 };
  const buffers = {
    run: uploadRun(gpu, shape, slot),
    schedule: uploadSchedule(gpu, 0),
    block: uploadBlock(gpu, layer),
    h: gpu.upload("h", data.h),
    state: gpu.upload("state", data.state),
    norm: gpu.upload("norm", data.norm),
    conv: gpu.upload("conv", data.conv),
    weight: uploadMatrix(gpu, data.weight, [2 * size, size], format, { gated: true }),
    bias: gpu.upload("bias", bias),
  };
  return { layout, data, shape, buffers, words: 2 * streams * size };
}

/** The same with interleaved weights. */
const interleaved = (all: SetUp, size: number): SetUp => {
  const shape = [2 * size, size] as const;
  const options = { gated: true, layout: "interleaved" } as const;
  const weight = uploadMatrix(gpu, all.data.weight, shape, all.buffers.weight.format, options);
  return { ...all, buffers: { ...all.buffers, weight } };
};

type SetUp = ReturnType<typeof setUp>;

async function step(
  { layout, shape, buffers, words }: SetUp,
  size: number,
  taps: number,
  rowsPerWorkgroup?: number,
  host: KernelHost = gpu,
) {
  const mixed = poisoned(gpu, "mixed", words + 64);
  await runDispatches(
    gpu,
    [mixerStep(host, size, taps, layout, { ...buffers, mixed }, rowsPerWorkgroup)],
    shape,
  );
  const values = await gpu.readFloats(mixed);
  expect(untouched(values, words)).toBe(true);
  return values.subarray(0, words);
}

async function apart({ layout, shape, buffers, words }: SetUp, size: number, taps: number) {
  const mixed = poisoned(gpu, "mixed", words);
  const out = poisoned(gpu, "c", words / 2);
  const product = {
    weight: buffers.weight,
    bias: buffers.bias,
    input: taps > 0 ? { buffer: out, stride: size } : { buffer: mixed, stride: 2 * size },
    output: { buffer: poisoned(gpu, "u", words), stride: 2 * size, offset: size },
    epilogue: "gated",
  } as const;
  await runDispatches(
    gpu,
    [
      layerNorm(gpu, size, { h: buffers.h, norm: buffers.norm, out: mixed }, 2 * size),
      ...(taps > 0 ? [shortConv(gpu, size, taps, layout, { ...buffers, mixed, out })] : []),
      ...linearTiled(gpu, buffers.run, product, 16), // has the bits of every other batch's, and compiles fastest
    ],
    shape,
  );
  const x = await gpu.readFloats(mixed);
  const u = await gpu.readFloats(product.output.buffer);
  return x.map((value, i) => (i % (2 * size) < size ? value : u[i]!));
}

const cases: [size: number, taps: number, streams: number, format: WeightFormat][] = [
  [1, 4, 2, "f32"],
  [2, 3, 1, "f16"],
  [33, 4, 3, "f32"],
  [48, 0, 2, "f16"],
  [64, 1, 5, "f32"],
  [65, 4, 4, "f16"],
  [256, 4, 2, "f32"],
  [769, 3, 2, "f16"],
  [65, 4, 3, "q8"],
  [256, 4, 2, "q4"],
];

it.each(cases)(
  "gives, bit for bit, what the kernels of a pass give: D %i, k %i, %i streams, %s",
  async (size, taps, streams, format) => {
    const all = setUp(size, taps, streams, format);
    const values = await step(all, size, taps);
    const { data, layout } = all;
    const weight = keptReference(data.weight, size, format);
    for (let stream = 0; stream < streams; stream++) {
      const base = (slot + stream) * layout.slotStride + layer * layout.layerStride;
      const expected = mixerStepReference(
        data.h.subarray(stream * size, (stream + 1) * size),
        data.state.subarray(base, base + layout.tail * size),
        { ...data, weight },
        size,
      );
      const own = values.subarray(stream * 2 * size, (stream + 1) * 2 * size);
      expect(relativeError(own, expected)).toBeLessThan(2e-6);
    }
    expect(firstDifference(await apart(all, size, taps), values)).toBe(-1);
    const ahead = await step(interleaved(all, size), size, taps, undefined, sharedLoadHost(gpu, 0));
    expect(firstDifference(ahead, values)).toBe(-1);
  },
);

it("gives the same bits however many rows of W a workgroup takes", async () => {
  const all = setUp(65, 4, 3, "f32");
  const values = await step(all, 65, 4);
  for (const rowsPerWorkgroup of [2, 6, 32]) {
    expect(firstDifference(await step(all, 65, 4, rowsPerWorkgroup), values)).toBe(-1);
  }
  const other = interleaved(all, 65);
  // 64 rows: 192 slices, for 128 threads.
  for (const rowsPerWorkgroup of [2, 6, 64]) {
    const found = await step(other, 65, 4, rowsPerWorkgroup, sharedLoadHost(gpu, 0));
    expect(firstDifference(found, values)).toBe(-1);
  }
  for (const host of sharedLoadHosts(gpu)) {
    for (const of of [all, other]) {
      expect(firstDifference(await step(of, 65, 4, 64, host), values)).toBe(-1);
    }
  }
});
