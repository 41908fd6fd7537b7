import { ResonantError } from "../../common/errors.ts";
import { linearTiled } from "../../kernels/linear/linear.ts";
import { decodeLogprobs, FEW_LOGPROBS, logprobs, logprobsBytes } from "../../kernels/logprobs/logprobs.ts";
import { encodeRun, runUniform } from "../../kernels/run.ts";
import type { Gpu } from "../device/gpu.ts";
import { TemporaryBuffers } from "../device/temporary-buffers.ts";
import type { Weights } from "../weights.ts";

/** The maximum vectors per GPU pass, and the maximum bytes of their dot products. */
const MOST_ROWS = 512;
const PRODUCT_BYTES = 64 * 2 ** 20;

/** Ranks tokens for a vector by the dot product of their embeddings with it, on the GPU. Destroy it after use. */
export class TokenRanking {
  /** The vectors per GPU pass. */
  readonly #rows: number;
  readonly #size: number;
  readonly #gpu: Gpu;
  readonly #scratch: TemporaryBuffers;
  readonly #run: GPUBuffer;
  /** `[rows, D]`. */
  readonly #vectors: GPUBuffer;
  readonly #ranks: GPUBuffer;
  readonly #dispatches;

  constructor(gpu: Gpu, { embed: table }: Weights) {
    const { rows: vocabulary, columns: size } = table;
    const room = Math.floor(PRODUCT_BYTES / (4 * vocabulary));
    const brief = Math.floor(gpu.submissionWork / (2 * vocabulary * size));
    this.#rows = Math.max(1, Math.min(MOST_ROWS, room, brief));
    this.#size = size;
    this.#gpu = gpu;
    const scratch = new TemporaryBuffers(gpu, "alignment");
    this.#scratch = scratch;
    this.#run = runUniform(scratch.host, "run of token ranking");
    this.#vectors = scratch.words("vectors", this.#rows * size);
    this.#ranks = scratch.words("ranks", (this.#rows * logprobsBytes(FEW_LOGPROBS)) / 4);
    const logits = scratch.words("dot products", this.#rows * vocabulary);
    this.#dispatches = [
      ...linearTiled(scratch.host, this.#run, {
        weight: table,
        input: { buffer: this.#vectors, stride: size },
        output: { buffer: logits, stride: vocabulary },
        epilogue: "store",
      }),
      ...logprobs(scratch.host, vocabulary, {
        run: this.#run,
        schedule: scratch.words("schedule", 8),
        logits,
        results: scratch.words("results", this.#rows),
        logprobs: this.#ranks,
      }),
    ];
  }

  /**
   * Returns the five tokens whose embeddings have the greatest dot products with each vector, greatest first.
   * @param vectors `[n, D]`
   * @throws ResonantError `model` if a dot product is not finite
   */
  async rank(vectors: Float32Array<ArrayBuffer>): Promise<number[][]> {
    const ranked: number[][] = [];
    const width = this.#rows * this.#size;
    for (let start = 0; start < vectors.length; start += width) {
      ranked.push(...(await this.#rankPart(vectors.subarray(start, start + width))));
    }
    return ranked;
  }

  async #rankPart(vectors: Float32Array<ArrayBuffer>): Promise<number[][]> {
    const gpu = this.#gpu;
    const rows = vectors.length / this.#size;
    gpu.device.queue.writeBuffer(this.#vectors, 0, vectors);
    gpu.device.queue.writeBuffer(this.#run, 0, encodeRun({ rows, length: rows }));
    gpu.submit((encoder) => gpu.record(encoder, this.#dispatches, { rows, length: rows }));
    const bytes = await gpu.read(this.#ranks, 0, rows * logprobsBytes(FEW_LOGPROBS));
    return Array.from({ length: rows }, (_, row) => {
      const found = decodeLogprobs(bytes, row * logprobsBytes(FEW_LOGPROBS), FEW_LOGPROBS);
      if (!found) throw new ResonantError("model", "the logit bias of a readout is not finite");
      return found.top.map(({ token }) => token);
    });
  }

  destroy(): void {
    this.#scratch.destroy();
  }
}
