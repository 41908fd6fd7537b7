import type { Norm } from "../kernels/layer-norm/layer-norm.ts";
import { type Matrix, matrixBytes, type WeightFormat } from "../kernels/matrix.ts";
import { decayTable, type PairDecay } from "../kernels/memory-scan/memory-scan.ts";
import { latticeTable } from "../kernels/metrics/metrics.ts";
import {
  PACK_ERROR_BYTES,
  packError,
  packWeight,
  relativePackError,
} from "../kernels/pack-weight/pack-weight.ts";
import type { BlockConstants, BlockShape, NativeConfig } from "./config.ts";
import type { Gpu } from "./device/gpu.ts";
import { latticeDecay, logistic } from "./phase.ts";
import type { ProductShape } from "./product-shape.ts";
import { countParameters, expectShapes, type Tensors } from "./tensors.ts";

/** A matrix with its bias. */
export interface Affine {
  readonly weight: Matrix;
  readonly bias: GPUBuffer;
}

/** One resonant block on the GPU, in the shapes that the kernels read; `D` = `BlockShape.size`, `k` = `taps`, `M` = `inner`. */
export interface BlockWeights {
  readonly constants: BlockConstants;
  /** `Block` of `kernels/lib/block.wgsl`. */
  readonly block: GPUBuffer;
  /** LN1, `[2, D]`. */
  readonly norm: GPUBuffer;
  /** `[k + 1, D]`. */
  readonly conv: GPUBuffer;
  /** `[2D, D]`, the two halves of each gated unit in adjacent rows. */
  readonly mixer: Affine;
  /** `[⌈D/2⌉, 8]`. */
  readonly decay: GPUBuffer;
  /** PVM gate, PLM gate, PLM out: `[3D, D]`, or only the first `D` rows. */
  readonly memory: Affine;
  /** LN2 weight, bias; the drive's cosine, sine, bias: `[5, D]`. */
  readonly combine: GPUBuffer;
  readonly mlp: BlockMlp | undefined;
}

export interface BlockMlp {
  /** LN3, `[2, D]`. */
  readonly norm: GPUBuffer;
  /** `[2M, D]`, the two halves of each gated unit in adjacent rows. */
  readonly up: Affine;
  /** `[D, M]`. */
  readonly down: Affine;
  /** The same vectors once more, for kernels that do more at once and have no binding left for each. */
  readonly joined: {
    /** The biases of `memory`; the drive's cosine, sine, bias: `[6, D]`. */
    readonly memory: GPUBuffer;
    /** LN2, LN3 and the bias of `up`: `[4D + 2M]`. */
    readonly up: GPUBuffer;
  };
}

/** A sequence of blocks, all of one shape. */
export interface Blocks {
  readonly shape: BlockShape;
  readonly blocks: readonly BlockWeights[];
  /** The inverse DFT of the lattice, for its coherence. */
  readonly lattice: GPUBuffer;
}

/** A model on the GPU: its resonant blocks (of a base model: its adapters), embedding, last norm and head. */
export interface Weights extends Blocks {
  /** `[V, D]`. */
  readonly embed: Matrix;
  /** The norm before the head. */
  readonly norm: GPUBuffer | Norm;
  /** `[V, D]`. */
  readonly head: Matrix;
  readonly parameters: number;
}

/** Called after each tensor, with the number of tensors read and the total. */
export type LoadProgress = (done: number, total: number, name: string) => void;

/** A tensor whose rows become rows of a larger matrix, or whose elements become elements of a larger vector. */
export interface TensorRows {
  readonly name: string;
  readonly rows: number;
  /** Whether to interleave the rows of its two halves. */
  readonly gated?: boolean;
  /** Returns the index of row r in the larger matrix. Default: after the previous tensors. */
  readonly place?: (row: number) => number;
}

/** Part of a buffer of floats, from `first` (default 0) on. */
interface Part {
  readonly buffer: GPUBuffer;
  readonly first?: number;
  readonly floats: number;
}

/** Called while a model is loaded. */
export interface LoadCallbacks {
  readonly onProgress?: LoadProgress;
  /**
   * Called for each matrix that is not kept as f32, with ‖W − Q(W)‖ / ‖W‖ (Frobenius norms). Measuring waits for the
   * GPU after each chunk.
   */
  readonly onPacked?: ((name: string, error: number) => void) | undefined;
}

interface UploadCallbacks extends Pick<LoadCallbacks, "onPacked"> {
  readonly onRead?: (name: string) => void;
}

/** The bytes to queue before waiting for the GPU: queued bytes are in host memory more than once. */
const QUEUED_BYTES = 16 * 2 ** 20;

/** Reads tensors to the GPU one after another, large ones in chunks, to need little host memory. */
export class Uploader {
  readonly gpu: Gpu;
  readonly format: WeightFormat;
  readonly #tensors: Tensors;
  readonly #prefix: string;
  readonly #callbacks: UploadCallbacks;
  readonly #queued: { bytes: number };

  constructor(
    gpu: Gpu,
    format: WeightFormat,
    tensors: Tensors,
    callbacks: UploadCallbacks = {},
    prefix = "",
    queued = { bytes: 0 },
  ) {
    this.gpu = gpu;
    this.format = format;
    this.#tensors = tensors;
    this.#callbacks = callbacks;
    this.#prefix = prefix;
    this.#queued = queued;
  }

  under(prefix: string): Uploader {
    const { gpu, format } = this;
    return new Uploader(gpu, format, this.#tensors, this.#callbacks, this.#prefix + prefix, this.#queued);
  }

  async read(name: string): Promise<Float32Array<ArrayBuffer>> {
    const values = await this.#tensors.read(this.#prefix + name);
    this.#callbacks.onRead?.(this.#prefix + name);
    return values;
  }

  async scalar(name: string): Promise<number> {
    return (await this.read(name))[0] ?? 0;
  }

  /** Several vectors stacked: `[names, D]`. */
  async vectors(...names: string[]): Promise<GPUBuffer> {
    const rows = [];
    for (const name of names) rows.push(await this.read(name));
    return this.upload(names[0] ?? "vectors", concat(rows));
  }

  upload(label: string, values: Float32Array<ArrayBuffer>): GPUBuffer {
    return this.gpu.upload(this.#prefix + label, values);
  }

  /** Copies parts of several buffers into one: for kernels that have no binding left. */
  join(label: string, ...parts: readonly Part[]): GPUBuffer {
    const total = parts.reduce((sum, { floats }) => sum + floats, 0);
    const joined = this.gpu.storage(this.#prefix + label, 4 * total);
    this.gpu.submit((encoder) => {
      let at = 0;
      for (const { buffer, first = 0, floats } of parts) {
        encoder.copyBufferToBuffer(buffer, 4 * first, joined, at, 4 * floats);
        at += 4 * floats;
      }
    });
    return joined;
  }

  /** Concatenates the elements of several tensors into one vector. */
  async vector(parts: readonly TensorRows[]): Promise<GPUBuffer> {
    const values = new Float32Array(rowsOf(parts));
    for (const { name, place } of placed(parts)) {
      for (const [i, value] of (await this.read(name)).entries()) values[place(i)] = value;
    }
    return this.upload(labelOf(parts), values);
  }

  /**
   * Joins the rows of several tensors into one matrix, in the weight format.
   * @param bound how kernels bind it: products and embeddings can bind it in parts
   */
  async matrix(
    columns: number,
    parts: readonly TensorRows[],
    bound: "whole" | "in parts" = "whole",
  ): Promise<Matrix> {
    const { gpu, format } = this;
    const layout = gpu.weightLayout;
    const rows = rowsOf(parts);
    const bytes = matrixBytes(rows, columns, format, layout);
    const weight = {
      buffer: gpu.storage(this.#prefix + labelOf(parts), bytes, bound),
      rows,
      columns,
      format,
      layout,
    };
    for (const { name, place } of placed(parts)) {
      const errors: number[] = [];
      for await (const { first, values } of this.#tensors.chunks(this.#prefix + name, columns)) {
        errors.push(...(await this.#pack(weight, values, (row) => place(first / columns + row))));
      }
      this.#callbacks.onRead?.(this.#prefix + name);
      if (errors.length > 0) this.#callbacks.onPacked?.(this.#prefix + name, relativePackError(errors));
    }
    return weight;
  }

  /**
   * Packs `values`, which are whole rows, each to its place. Resolves to the sums of `packError` if `onPacked` is set.
   */
  async #pack(
    weight: Matrix,
    values: Float32Array<ArrayBuffer>,
    place: (row: number) => number,
  ): Promise<Iterable<number>> {
    const { gpu } = this;
    const { label } = weight.buffer;
    const rows = values.length / weight.columns;
    const matrix = gpu.upload(`${label} as read`, values);
    const places = gpu.upload(
      `${label}, places`,
      Uint32Array.from({ length: rows }, (_, row) => place(row)),
    );
    const packing = { matrix, rows, weight, places };
    const sums =
      this.#callbacks.onPacked && weight.format !== "f32"
        ? gpu.storage("errors", PACK_ERROR_BYTES)
        : undefined;
    const dispatches = [...packWeight(gpu, packing), ...(sums ? packError(gpu, packing, sums) : [])];
    gpu.submit((encoder) => gpu.record(encoder, dispatches, { rows, length: rows }));
    matrix.destroy();
    places.destroy();
    this.#queued.bytes += values.byteLength;
    if (this.#queued.bytes >= QUEUED_BYTES) {
      await gpu.device.queue.onSubmittedWorkDone();
      this.#queued.bytes = 0;
    }
    if (!sums) return [];
    const errors = await gpu.readFloats(sums);
    sums.destroy();
    return errors;
  }
}

const rowsOf = (parts: readonly TensorRows[]): number => parts.reduce((sum, { rows }) => sum + rows, 0);

const labelOf = (parts: readonly TensorRows[]): string => parts.map(({ name }) => name).join(", ");

/** Adds the default `place` to the tensors that have none. */
function placed(parts: readonly TensorRows[]): Required<Pick<TensorRows, "name" | "place">>[] {
  let first = 0;
  return parts.map(({ name, rows, gated, place }) => {
    const start = first;
    first += rows;
    const half = rows / 2;
    const plain = (row: number): number => start + row;
    const sideBySide = (row: number): number => start + (row < half ? 2 * row : 2 * (row - half) + 1);
    return { name, place: place ?? (gated ? sideBySide : plain) };
  });
}

/** `[a₀…, b₀…]` → `[a₀, b₀, a₁, b₁, …]`: interleaves the two halves of gated units, like the rows of their matrix. */
export function interleaveHalves(values: Float32Array<ArrayBuffer>): Float32Array<ArrayBuffer> {
  const half = values.length / 2;
  return values.map((_, i) => values[(i >> 1) + (i % 2) * half] ?? 0);
}

export function concat(parts: readonly Float32Array[]): Float32Array<ArrayBuffer> {
  const out = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** `[rows, columns]` → `[columns, rows]`. */
export function transpose(values: Float32Array, rows: number, columns: number): Float32Array<ArrayBuffer> {
  const out = new Float32Array(values.length);
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++) out[c * rows + r] = values[r * columns + c] ?? 0;
  }
  return out;
}

/** Creates the `Block` uniform of a block. */
export function blockUniform(gpu: Gpu, layer: number, { alpha, gamma, ramp }: BlockConstants): GPUBuffer {
  const view = new DataView(new ArrayBuffer(16));
  view.setUint32(0, layer, true);
  view.setFloat32(4, alpha, true);
  view.setFloat32(8, gamma * ramp, true);
  return gpu.uniform(`block ${layer}`, view.buffer);
}

/** Creates the buffer with the inverse DFT of the lattice; of one cell if there is no lattice. */
export const latticeBuffer = (gpu: Gpu, shape: BlockShape): GPUBuffer =>
  gpu.upload("lattice", latticeTable(shape.lattice?.grid ?? [1, 1]) as Float32Array<ArrayBuffer>);

/** The matrices that a decode step of a native model multiplies by, as the GPU holds them. */
export const nativeProducts = ({ shape, layers, vocabulary }: NativeConfig): readonly ProductShape[] => [
  { name: "mixer", rows: 2 * shape.size, columns: shape.size, count: layers },
  // The gates of both memories and the lattice's read-out, one after another.
  { name: "memory", rows: 3 * shape.size, columns: shape.size, count: layers },
  { name: "up", rows: 2 * shape.inner, columns: shape.size, count: layers },
  { name: "down", rows: shape.size, columns: shape.inner, count: layers },
  { name: "head", rows: vocabulary, columns: shape.size, count: 1 },
];

/** Returns the names and shapes of the tensors of a native model (SPEC §A). */
export function nativeTensors({ shape, layers, vocabulary }: NativeConfig): Map<string, readonly number[]> {
  const { size: d, taps, inner, lattice } = shape;
  const components = lattice?.components ?? 0;
  const expected = new Map<string, readonly number[]>([
    ["embed.weight", [vocabulary, d]],
    ["head.weight", [vocabulary, d]],
    ["norm.weight", [d]],
    ["norm.bias", [d]],
  ]);
  for (let layer = 0; layer < layers; layer++) {
    const block: [string, readonly number[]][] = [
      ...["norm1", "norm2", "norm3"].flatMap((norm): [string, number[]][] => [
        [`${norm}.weight`, [d]],
        [`${norm}.bias`, [d]],
      ]),
      ["mixer.weight", [2 * d, d]],
      ["mixer.bias", [2 * d]],
      ["pvm.alpha", [d / 2]],
      ["pvm.beta", [d / 2]],
      ["plm.beta", [components]],
      ["plm.kappa", [components]],
      ["plm.omega", [components]],
      ...["pvm.gate", "plm.gate", "plm.out"].flatMap((name): [string, number[]][] => [
        [`${name}.weight`, [d, d]],
        [`${name}.bias`, [d]],
      ]),
      ["phase.weight", [d, 2]],
      ["phase.bias", [d]],
      ["gamma_raw", []],
      ["mlp.up.weight", [2 * inner, d]],
      ["mlp.up.bias", [2 * inner]],
      ["mlp.down.weight", [d, inner]],
      ["mlp.down.bias", [d]],
    ];
    if (taps > 0) block.push(["conv.weight", [d, taps]], ["conv.bias", [d]]);
    for (const [name, dims] of block) expected.set(`blocks.${layer}.${name}`, dims);
  }
  return expected;
}

/**
 * Reads a native model's tensors to the GPU.
 * @throws ResonantError `invalid_file` naming a tensor that is missing, unknown, of a wrong shape or not finite;
 * `out_of_memory` naming the buffer
 */
export async function loadWeights(
  gpu: Gpu,
  config: NativeConfig,
  tensors: Tensors,
  format: WeightFormat,
  { onProgress, onPacked }: LoadCallbacks = {},
): Promise<Weights> {
  const expected = nativeTensors(config);
  expectShapes(tensors, expected);
  let done = 0;
  const onRead = (name: string) => onProgress?.(++done, expected.size, name);
  const uploader = new Uploader(gpu, format, tensors, { onRead, onPacked });
  const { shape, vocabulary } = config;
  const embed = await uploader.matrix(shape.size, [{ name: "embed.weight", rows: vocabulary }], "in parts");
  const blocks: BlockWeights[] = [];
  for (let layer = 0; layer < config.layers; layer++) {
    blocks.push(await loadBlock(uploader.under(`blocks.${layer}.`), config, layer));
  }
  const weights = {
    shape,
    blocks,
    lattice: latticeBuffer(gpu, shape),
    embed,
    norm: await uploader.vectors("norm.weight", "norm.bias"),
    head: await uploader.matrix(shape.size, [{ name: "head.weight", rows: vocabulary }], "in parts"),
    parameters: countParameters(expected),
  };
  await gpu.settle();
  return weights;
}

const meanOf = (values: Float32Array): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

async function loadBlock(from: Uploader, config: NativeConfig, layer: number): Promise<BlockWeights> {
  const { size: d, taps, inner, lattice } = config.shape;
  const pvm = { alpha: await from.read("pvm.alpha"), beta: await from.read("pvm.beta") };
  const constants: BlockConstants = {
    alpha: config.phase.alpha,
    gamma: logistic(await from.scalar("gamma_raw")),
    ramp: 1,
    driveOmega: config.phase.omega[layer] ?? 0,
    drivePhi: config.phase.phi[layer] ?? 0,
    pvmOmega: config.pvm.omega[layer] ?? 0,
    pvmPhi: config.pvm.phi[layer] ?? 0,
    pvm: { alpha: meanOf(pvm.alpha), beta: meanOf(pvm.beta), gate: null },
    step: 0,
  };
  const drive = transpose(await from.read("phase.weight"), d, 2);
  const plm = {
    beta: await from.read("plm.beta"),
    kappa: await from.read("plm.kappa"),
    omega: await from.read("plm.omega"),
  };
  const [gx, gy] = lattice?.grid ?? [1, 1];
  const pairs = Array.from(pvm.alpha, (alpha, pair): PairDecay => {
    const component = Math.floor(pair / (gx * gy));
    return {
      alpha,
      beta: pvm.beta[pair] ?? 0,
      lambda: latticeDecay(plm.beta[component] ?? 0, plm.kappa[component] ?? 0, [gx, gy], pair % (gx * gy)),
      omega: plm.omega[component] ?? 0,
    };
  });
  const block = {
    constants,
    block: blockUniform(from.gpu, layer, constants),
    norm: await from.vectors("norm1.weight", "norm1.bias"),
    conv: from.upload(
      "conv",
      taps > 0
        ? concat([transpose(await from.read("conv.weight"), d, taps), await from.read("conv.bias")])
        : new Float32Array(d),
    ),
    mixer: {
      weight: await from.matrix(d, [{ name: "mixer.weight", rows: 2 * d, gated: true }]),
      bias: from.upload("mixer.bias", interleaveHalves(await from.read("mixer.bias"))),
    },
    decay: from.upload("decay", decayTable(pairs) as Float32Array<ArrayBuffer>),
    memory: {
      weight: await from.matrix(
        d,
        ["pvm.gate", "plm.gate", "plm.out"].map((name) => ({ name: `${name}.weight`, rows: d })),
      ),
      bias: await from.vectors("pvm.gate.bias", "plm.gate.bias", "plm.out.bias"),
    },
    combine: from.upload(
      "combine",
      concat([
        await from.read("norm2.weight"),
        await from.read("norm2.bias"),
        drive,
        await from.read("phase.bias"),
      ]),
    ),
  };
  const norm = await from.vectors("norm3.weight", "norm3.bias");
  const up = {
    weight: await from.matrix(d, [{ name: "mlp.up.weight", rows: 2 * inner, gated: true }]),
    bias: from.upload("mlp.up.bias", interleaveHalves(await from.read("mlp.up.bias"))),
  };
  const down = {
    weight: await from.matrix(inner, [{ name: "mlp.down.weight", rows: d }]),
    bias: await from.vectors("mlp.down.bias"),
  };
  const joined = {
    memory: from.join(
      "memory's vectors",
      { buffer: block.memory.bias, floats: 3 * d },
      { buffer: block.combine, first: 2 * d, floats: 3 * d },
    ),
    up: from.join(
      "mlp.up's vectors",
      { buffer: block.combine, floats: 2 * d },
      { buffer: norm, floats: 2 * d },
      { buffer: up.bias, floats: 2 * inner },
    ),
  };
  return { ...block, mlp: { norm, up, down, joined } };
}
