import { afterAll } from "vitest";
import { seeded as mulberry32 } from "../bench/random.ts";
import { Gpu } from "../engine/device/gpu.ts";
import { requestAdapter } from "../engine/platform/node/device.ts";
import type { Dispatch, KernelHost, RunShape, StateShape, WeightLayout } from "../kernels/kernel.ts";
import { type Matrix, matrixBytes, type WeightFormat } from "../kernels/matrix.ts";
import { packWeight } from "../kernels/pack-weight/pack-weight.ts";
import { inRowsReference } from "../kernels/pack-weight/reference.ts";
import { encodeRun, runUniform, type StreamPlace } from "../kernels/run.ts";

export { relativeError } from "../engine/goldens.ts";
export { mulberry32 };

/** A NaN that no kernel computes: shows words that a kernel should have written, and words that it must not write. */
const POISON = 0x7fc00000;

let opened: Promise<Gpu> | undefined;

/** Returns the device that the tests of a file share. Fails if there is no adapter, so that no kernel test passes unrun. */
export function testGpu(): Promise<Gpu> {
  opened ??= requestAdapter().then((adapter) => Gpu.open(adapter));
  return opened;
}

afterAll(async () => {
  const gpu = await opened?.catch(() => undefined);
  gpu?.destroy();
  opened = undefined;
});

/** Returns `count` f32 numbers, uniform between `low` and `high`. */
export function randomFloats(seed: number, count: number, low = -1, high = 1): Float32Array<ArrayBuffer> {
  const next = mulberry32(seed);
  return Float32Array.from({ length: count }, () => low + (high - low) * next());
}

/** Returns `count` integers from 0 to `below` − 1. */
export function randomIntegers(seed: number, count: number, below: number): Uint32Array<ArrayBuffer> {
  const next = mulberry32(seed);
  return Uint32Array.from({ length: count }, () => Math.floor(next() * below));
}

/** Creates a storage buffer of `words` 32-bit words that holds `values` followed by NaN. */
export function poisoned(
  gpu: Gpu,
  label: string,
  words: number,
  values: Float32Array | readonly number[] = [],
): GPUBuffer {
  const data = new Uint32Array(Math.max(words, values.length)).fill(POISON);
  new Float32Array(data.buffer).set(values);
  return gpu.upload(label, data);
}

/** Records and submits dispatches, and waits for WebGPU's errors. */
export async function runDispatches(gpu: Gpu, dispatches: readonly Dispatch[], run: RunShape): Promise<void> {
  submit(gpu, dispatches, run);
  await gpu.settle();
}

function submit(gpu: Gpu, dispatches: readonly Dispatch[], run: RunShape): void {
  const encoder = gpu.device.createCommandEncoder();
  gpu.record(encoder, dispatches, run);
  gpu.device.queue.submit([encoder.finish()]);
}

export interface UploadOptions {
  /** Whether to put the rows of the two halves side by side. */
  readonly gated?: boolean;
  /** Number of NaN rows before and after the matrix. */
  readonly margin?: number;
  readonly layout?: WeightLayout;
}

/** Packs `values` `[rows, columns]` into a {@link Matrix} in poisoned memory, with `packWeight`. */
export function uploadMatrix(
  gpu: Gpu,
  values: Float32Array<ArrayBuffer>,
  [rows, columns]: readonly [number, number],
  format: WeightFormat,
  { gated = false, margin = 0, layout = gpu.weightLayout }: UploadOptions = {},
): Matrix {
  const all = rows + 2 * margin;
  const buffer = poisoned(gpu, "weight", matrixBytes(all, columns, format, layout) / 4);
  const weight: Matrix = { buffer, rows: all, columns, format, layout };
  const matrix = gpu.upload("matrix", values);
  const places = gated ? gpu.upload("places", sideBySide(rows, margin)) : undefined;
  submit(gpu, packWeight(gpu, { matrix, rows, weight, firstRow: margin, places }), { rows: 1, length: 1 });
  return weight;
}

/** The words of a matrix row after row, as `inRowsReference` of pack-weight says. */
export async function readMatrix(gpu: Gpu, matrix: Matrix): Promise<Uint32Array> {
  const { buffer, rows, columns, format, layout } = matrix;
  return inRowsReference(new Uint32Array(await gpu.read(buffer)), [rows, columns], format, layout);
}

/** Where each row goes if the rows of the two halves lie side by side, from row `first` on. */
export const sideBySide = (rows: number, first = 0): Uint32Array<ArrayBuffer> =>
  Uint32Array.from({ length: rows }, (_, row) => first + (row < rows / 2 ? 2 * row : 2 * row - rows + 1));

/** Returns a host like `gpu` whose kernels can bind at most `bindingBytes` bytes. */
export const bindingAtMost = (gpu: Gpu, bindingBytes: number): KernelHost => hostLike(gpu, { bindingBytes });

/** Returns a host like `gpu` whose kernels share loads between `lanes` lanes; 0: not at all. */
export const sharedLoadHost = (gpu: Gpu, lanes: KernelHost["sharedLoadLanes"]): KernelHost =>
  hostLike(gpu, { sharedLoadLanes: lanes, rowsPerWorkgroup: lanes ? 64 : 16 });

/** Returns a host like `gpu` whose kernels share no loads, with the tiles of a GPU. */
export const gpuTilesHost = (gpu: Gpu, productTiles: "gpu" | "gpu-64" = "gpu"): KernelHost =>
  hostLike(gpu, { sharedLoadLanes: 0, rowsPerWorkgroup: 16, productTiles });

/** Returns a host for each number of lanes that can share loads on this adapter, including 0. */
export const sharedLoadHosts = (gpu: Gpu): KernelHost[] =>
  ([0, 4, 8] as const)
    .filter((lanes) => lanes <= gpu.mostSharedLoadLanes)
    .map((lanes) => sharedLoadHost(gpu, lanes));

const hostLike = (gpu: Gpu, changes: Partial<KernelHost>): KernelHost => ({
  device: gpu.device,
  rowsPerWorkgroup: gpu.rowsPerWorkgroup,
  sharedLoadLanes: gpu.sharedLoadLanes,
  weightLayout: gpu.weightLayout,
  productTiles: gpu.productTiles,
  bindingBytes: gpu.bindingBytes,
  ...changes,
  pipeline: (kernel, overrides) => gpu.pipeline(kernel, overrides),
  uniform: (label, data) => gpu.uniform(label, data),
});

/** `Run` of `lib/run.wgsl`: streams at the given places, or all at `position` in neighbouring slots from `slot` on. */
export function uploadRun(
  gpu: Gpu,
  shape: RunShape,
  slot: number | readonly StreamPlace[] = 0,
  position = 0,
): GPUBuffer {
  const places =
    typeof slot === "number"
      ? Array.from({ length: shape.rows / shape.length }, (_, i) => ({ slot: slot + i, position }))
      : slot;
  const run = runUniform(gpu, "run");
  gpu.device.queue.writeBuffer(run, 0, encodeRun(shape, places));
  return run;
}

/** `Schedule` of `lib/run.wgsl`; `angles` `[steps, rows, layers, 4]`. */
export function uploadSchedule(
  gpu: Gpu,
  step: number,
  angles: Float32Array | readonly number[] = [0, 0, 0, 0],
): GPUBuffer {
  const data = new Uint32Array(4 + angles.length);
  data[0] = step;
  new Float32Array(data.buffer, 16).set(angles);
  return gpu.upload("schedule", data);
}

/** `Block` of `lib/block.wgsl`. */
export function uploadBlock(gpu: Gpu, layer: number, alpha = 0, gain = 0): GPUBuffer {
  const data = new Uint32Array(4);
  data[0] = layer;
  new Float32Array(data.buffer).set([alpha, gain], 1);
  return gpu.uniform("block", data);
}

/** Returns a layout of `layers` blocks' states, with unused words between blocks and between slots. */
export function looseState(
  size: number,
  layers: number,
  tail: number,
  memories: { readonly pvm: boolean; readonly plm: boolean },
): StateShape {
  const layerStride = (tail + Number(memories.pvm) + Number(memories.plm)) * size + 3;
  return { slotStride: layers * layerStride + 5, layerStride, tail, ...memories };
}

/** Returns the first index at which the bits differ, or −1. Different lengths differ at the end of the shorter array. */
export function firstDifference(a: Float32Array | Uint32Array, b: Float32Array | Uint32Array): number {
  const [x, y] = [bitsOf(a), bitsOf(b)];
  for (let i = 0; i < Math.max(x.length, y.length); i++) {
    if (x[i] !== y[i]) return i;
  }
  return -1;
}

/** Returns whether every word from `from` on is still poisoned. */
export const untouched = (values: Float32Array | Uint32Array, from: number): boolean =>
  bitsOf(values.subarray(from)).every((word) => word === POISON);

const bitsOf = (a: Float32Array | Uint32Array): Uint32Array =>
  new Uint32Array(a.buffer, a.byteOffset, a.length);
