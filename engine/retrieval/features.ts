import { ResonantError } from "../../common/errors.ts";
import { embed } from "../../kernels/embed/embed.ts";
import { layerNorm } from "../../kernels/layer-norm/layer-norm.ts";
import { linearTiled } from "../../kernels/linear/linear.ts";
import { encodeRun, runUniform } from "../../kernels/run.ts";
import { shortConv } from "../../kernels/short-conv/short-conv.ts";
import type { Gpu } from "../device/gpu.ts";
import { TemporaryBuffers } from "../device/temporary-buffers.ts";
import type { Weights } from "../weights.ts";

/** The vector u `[D]` of each token, independent of its context. It drives the retrieval memory. */
export type Features = ReadonlyMap<number, Float32Array>;

/** The tokens per GPU pass. */
const ROWS = 64;

/**
 * Computes u of the first block (SPEC §1.1) for each token alone, with an empty convolution tail. Uses its own GPU buffers,
 * and frees them before it returns.
 * @throws ResonantError `invalid_argument` for a token that the model lacks, `model` where u is not finite
 */
export async function tokenFeatures(
  gpu: Gpu,
  weights: Weights,
  tokens: Iterable<number>,
  signal?: AbortSignal,
): Promise<Features> {
  const features = new Map<number, Float32Array>();
  const distinct = [...new Set(tokens)];
  const vocabulary = weights.embed.rows;
  const bad = distinct.find((token) => !(token >= 0 && token < vocabulary));
  if (bad !== undefined) {
    throw new ResonantError("invalid_argument", `token ${bad} is not among the model's ${vocabulary}`);
  }
  const size = weights.shape.size;
  const pass = new FeaturePass(gpu, weights);
  try {
    for (let start = 0; start < distinct.length; start += ROWS) {
      signal?.throwIfAborted();
      const batch = distinct.slice(start, start + ROWS);
      const rows = await pass.run(batch);
      batch.forEach((token, row) => {
        const u = rows.slice((2 * row + 1) * size, (2 * row + 2) * size);
        if (!u.every(Number.isFinite)) {
          throw new ResonantError("model", `the feature of token ${token} is not finite`);
        }
        features.set(token, u);
      });
    }
  } finally {
    pass.destroy();
  }
  return features;
}

/** The first block up to u, in its own buffers. */
class FeaturePass {
  readonly #gpu: Gpu;
  readonly #scratch: TemporaryBuffers;
  readonly #tokens: GPUBuffer;
  /** x and u: `[ROWS, 2, D]`. */
  readonly #mixed: GPUBuffer;
  readonly #together: GPUBuffer;
  readonly #apart: GPUBuffer;
  readonly #dispatches;
  readonly #size: number;

  constructor(gpu: Gpu, weights: Weights) {
    const { shape, embed: table } = weights;
    const { size, taps } = shape;
    const block = weights.blocks[0];
    if (!block) throw new ResonantError("unsupported", "a model without blocks has no features");
    const scratch = new TemporaryBuffers(gpu, "retrieval");
    const { host } = scratch;
    this.#scratch = scratch;
    this.#gpu = gpu;
    this.#size = size;
    this.#tokens = scratch.words("tokens", ROWS);
    this.#mixed = scratch.words("mixed", ROWS * 2 * size);
    // The embedding treats the rows as one stream, with one set of counts; the block treats each as a stream of length 1.
    this.#together = runUniform(host, "retrieval run");
    this.#apart = runUniform(host, "retrieval run");
    const schedule = scratch.words("schedule", 8);
    const counts = scratch.words("counts", table.rows);
    const h = scratch.words("h", ROWS * size);
    const normed = scratch.words("normed", ROWS * size);
    // All streams share one zero tail, since the slot stride is 0.
    const state = scratch.words("state", Math.max(1, taps - 1) * size);
    const layout = { slotStride: 0, layerStride: 0, tail: Math.max(0, taps - 1), pvm: false, plm: false };
    const run = this.#apart;
    this.#dispatches = [
      ...embed(host, table, { run: this.#together, schedule, tokens: this.#tokens, counts, h }),
      layerNorm(host, size, { h, norm: block.norm, out: this.#mixed }, 2 * size),
      shortConv(host, size, taps, layout, {
        run,
        schedule,
        block: block.block,
        mixed: this.#mixed,
        state,
        conv: block.conv,
        out: normed,
      }),
      ...linearTiled(host, run, {
        ...block.mixer,
        input: { buffer: normed, stride: size },
        output: { buffer: this.#mixed, stride: 2 * size, offset: size },
        epilogue: "gated",
      }),
    ];
  }

  /** x and u of at most {@link ROWS} tokens: `[rows, 2, D]`. */
  run(tokens: readonly number[]): Promise<Float32Array> {
    const gpu = this.#gpu;
    const { queue } = gpu.device;
    const rows = tokens.length;
    queue.writeBuffer(this.#tokens, 0, Uint32Array.from(tokens));
    queue.writeBuffer(this.#together, 0, encodeRun({ rows, length: rows }));
    queue.writeBuffer(this.#apart, 0, encodeRun({ rows, length: 1 }));
    gpu.submit((encoder) => gpu.record(encoder, this.#dispatches, { rows, length: 1 }));
    return gpu.readFloats(this.#mixed, 0, rows * 2 * this.#size);
  }

  destroy(): void {
    this.#scratch.destroy();
  }
}
