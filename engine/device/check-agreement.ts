import { type AttentionShape, attention } from "../../kernels/attention/attention.ts";
import { attentionStep, partialsBytes } from "../../kernels/attention-step/attention-step.ts";
import type { Dispatch, RunShape } from "../../kernels/kernel.ts";
import { layerNorm } from "../../kernels/layer-norm/layer-norm.ts";
import { type Epilogue, linearRow, linearTiled, type Product } from "../../kernels/linear/linear.ts";
import { matrixBytes, type WeightFormat, weightFormats } from "../../kernels/matrix.ts";
import { packWeight } from "../../kernels/pack-weight/pack-weight.ts";
import { encodeRun, runUniform } from "../../kernels/run.ts";
import type { Agreement } from "./agreement.ts";
import type { Gpu } from "./gpu.ts";
import { TemporaryBuffers } from "./temporary-buffers.ts";

/** Two results for the same rows. */
type Compare = (what: string, rows: Uint32Array, tiles: Uint32Array) => boolean;

/** Equal bits, of finite numbers: memory that was never written counts as differing. */
const sameBits: Compare = (_, rows, tiles) =>
  rows.every((word, i) => word === tiles[i] && (word & 0x7f800000) !== 0x7f800000);

/** Rows of a pass: more than a tile of 64 has, so that a GPU takes its largest tiles, and fewer. */
const PASSES = [70, 5] as const;
/** Columns of the input: two whole slices and a part of a third. */
const COLUMNS = 65;
const OUTPUTS = 66;
/** Heads of more than 64 values, over several splits of their keys. */
const HEADS: AttentionShape = { heads: 6, kvHeads: 3, headSize: 128, rotary: 0, positions: 333 };
const HEADS_START = 100;

/** What becomes of sums; they are one text in all formats, so that f32 stands for all. */
const epilogues: readonly Epilogue[] = ["gated", "swiglu", "sigmoid", "gelu", "gelu_tanh", "silu"];

/**
 * Compares small results of the kernels that a device would use, bit by bit: products in every format, what becomes of their
 * sums, norms within a product and before it, and attention of decode and of prompts. Leaves nothing on the device.
 * @param compare takes the place of the comparison of bits, in tests
 * @throws ResonantError `out_of_memory`, `shader`, `device_lost`
 */
export async function checkAgreement(gpu: Gpu, compare: Compare = sameBits): Promise<Agreement> {
  const buffers = new TemporaryBuffers(gpu, "agreement's");
  const check = new Check(gpu, buffers);
  const differing: string[] = [];
  const hold = async (what: string, results: Promise<readonly Uint32Array[]>): Promise<void> => {
    const [rows, ...tiles] = await results;
    if (!tiles.every((each) => compare(what, rows!, each))) differing.push(what);
  };
  try {
    for (const format of weightFormats) await hold(`products in ${format}`, check.products(format, "store"));
    for (const epilogue of epilogues) await hold(`epilogue ${epilogue}`, check.products("f32", epilogue));
    await hold("norms", check.norms());
    await hold("attention", check.attention());
    return { shownBy: "check", differing };
  } finally {
    buffers.destroy();
  }
}

/** The inputs of the comparisons, and the results of each way. */
class Check {
  readonly #gpu: Gpu;
  readonly #buffers: TemporaryBuffers;
  readonly #matrix: GPUBuffer;
  readonly #input: GPUBuffer;
  readonly #vectors: GPUBuffer;

  constructor(gpu: Gpu, buffers: TemporaryBuffers) {
    this.#gpu = gpu;
    this.#buffers = buffers;
    this.#matrix = buffers.upload("matrix", numbers(OUTPUTS * COLUMNS, 1));
    this.#input = buffers.upload("input", numbers(PASSES[0] * COLUMNS, 2));
    this.#vectors = buffers.upload("vectors", numbers(2 * COLUMNS + OUTPUTS, 3));
  }

  /** A row at a time, then in the tiles for each batch. */
  async products(format: WeightFormat, epilogue: Epilogue): Promise<Uint32Array[]> {
    const { host } = this.#buffers;
    const results: number[][] = [[], [], [], []];
    for (const rows of PASSES) {
      const ways: ((p: Product, run: GPUBuffer) => Dispatch[])[] = [
        (p) => linearRow(host, p),
        ...([16, 32, "prefill"] as const).map(
          (batch) => (p: Product, run: GPUBuffer) => linearTiled(host, run, p, batch),
        ),
      ];
      for (const [i, way] of ways.entries())
        results[i]!.push(...(await this.#product(format, epilogue, rows, way)));
    }
    return results.map((words) => Uint32Array.from(words));
  }

  /** A norm within a row's product, then before a product in tiles. */
  async norms(): Promise<Uint32Array[]> {
    const { host } = this.#buffers;
    const normed = this.#buffers.words("normed", PASSES[0] * COLUMNS);
    const norm = { buffer: this.#vectors };
    const within = await this.#product("f32", "store", PASSES[0], (p) => linearRow(host, p, norm));
    const before = await this.#product("f32", "store", PASSES[0], (p, run) => [
      layerNorm(host, COLUMNS, { h: this.#input, norm, out: normed }),
      ...linearTiled(host, run, { ...p, input: { buffer: normed, stride: COLUMNS } }, 16),
    ]);
    return [within, before];
  }

  /** Attention of decode, then of prompts. */
  async attention(): Promise<Uint32Array[]> {
    const { heads, kvHeads, headSize, positions } = HEADS;
    const buffers = this.#buffers;
    const shape = { rows: PASSES[0], length: PASSES[0] };
    const out = this.#out(shape.rows * heads * headSize);
    const cache = positions * kvHeads * headSize;
    const shared = {
      run: this.#run(shape, HEADS_START),
      schedule: buffers.words("schedule", 8),
      qkv: buffers.upload("qkv", numbers(shape.rows * (heads + 2 * kvHeads) * headSize, 4)),
      keys: buffers.upload("keys", numbers(cache, 5)),
      values: buffers.upload("values", numbers(cache, 6)),
      out,
    };
    const partials = buffers.words("partials", partialsBytes(HEADS, shape.rows) / 4);
    return [
      await this.#result(attentionStep(buffers.host, HEADS, { ...shared, partials }), shape, out),
      await this.#result([attention(buffers.host, HEADS, shared)], shape, out),
    ];
  }

  async #product(
    format: WeightFormat,
    epilogue: Epilogue,
    rows: number,
    way: (p: Product, run: GPUBuffer) => Dispatch[],
  ): Promise<Uint32Array> {
    const { host } = this.#buffers;
    const layout = host.weightLayout;
    const buffer = this.#buffers.words("weight", matrixBytes(OUTPUTS, COLUMNS, format, layout) / 4);
    const weight = { buffer, rows: OUTPUTS, columns: COLUMNS, format, layout };
    const packing = packWeight(host, { matrix: this.#matrix, rows: OUTPUTS, weight });
    this.#gpu.submit((encoder) => this.#gpu.record(encoder, packing, { rows: OUTPUTS, length: 1 }));
    const outputs = epilogue === "gated" || epilogue === "swiglu" ? OUTPUTS / 2 : OUTPUTS;
    const out = this.#out(rows * outputs);
    const shape = { rows, length: rows };
    const product: Product = {
      weight,
      bias: this.#vectors,
      input: { buffer: this.#input, stride: COLUMNS },
      output: { buffer: out, stride: outputs },
      epilogue,
    };
    return this.#result(way(product, this.#run(shape)), shape, out);
  }

  async #result(dispatches: readonly Dispatch[], shape: RunShape, out: GPUBuffer): Promise<Uint32Array> {
    this.#gpu.submit((encoder) => this.#gpu.record(encoder, dispatches, shape));
    return new Uint32Array(await this.#gpu.read(out));
  }

  /** Filled with NaN. */
  #out(words: number): GPUBuffer {
    return this.#buffers.upload("out", new Uint32Array(words).fill(0x7fc00000));
  }

  #run(shape: RunShape, position = 0): GPUBuffer {
    const run = runUniform(this.#buffers.host, "run");
    this.#gpu.device.queue.writeBuffer(run, 0, encodeRun(shape, [{ slot: 0, position }]));
    return run;
  }
}

/** Numbers of all bits between −1 and 1. */
const numbers = (count: number, seed: number): Float32Array<ArrayBuffer> =>
  Float32Array.from({ length: count }, (_, i) => Math.sin(1000 * seed + i * i * 0.7));
