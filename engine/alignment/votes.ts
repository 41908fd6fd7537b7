import { ResonantError } from "../../common/errors.ts";
import { linearTiled } from "../../kernels/linear/linear.ts";
import { decodeLogprobs, LOGPROBS_BYTES, logprobs, TOP_LOGPROBS } from "../../kernels/logprobs/logprobs.ts";
import { encodeRun, runUniform } from "../../kernels/run.ts";
import type { Gpu } from "../device/gpu.ts";
import { TemporaryBuffers } from "../device/temporary-buffers.ts";
import type { Weights } from "../weights.ts";

/** Vectors that go through the GPU at once: so many, or as many as have this room for their votes. */
const MOST_ROWS = 512;
const VOTE_BYTES = 64 * 2 ** 20;

/** Votes for the next token: the dot products of a vector with every row of the embedding, on the GPU. */
export class Votes {
  /** Vectors at once. */
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
    this.#rows = Math.max(1, Math.min(MOST_ROWS, Math.floor(VOTE_BYTES / (4 * vocabulary))));
    this.#size = size;
    this.#gpu = gpu;
    const scratch = new TemporaryBuffers(gpu, "alignment");
    this.#scratch = scratch;
    this.#run = runUniform(scratch.host, "run of votes");
    this.#vectors = scratch.words("vectors", this.#rows * size);
    this.#ranks = scratch.words("ranks", (this.#rows * LOGPROBS_BYTES) / 4);
    const logits = scratch.words("votes", this.#rows * vocabulary);
    this.#dispatches = [
      ...linearTiled(scratch.host, this.#run, {
        weight: table,
        input: { buffer: this.#vectors, stride: size },
        output: { buffer: logits, stride: vocabulary },
        epilogue: "store",
      }),
      logprobs(scratch.host, vocabulary, {
        run: this.#run,
        schedule: scratch.words("schedule", 8),
        logits,
        results: scratch.words("results", this.#rows),
        logprobs: this.#ranks,
      }),
    ];
  }

  /**
   * The five tokens with the most votes for each vector, most first.
   * @param vectors `[n, D]`
   * @throws ResonantError `model` where votes are not finite
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
    const encoder = gpu.device.createCommandEncoder();
    gpu.record(encoder, this.#dispatches, { rows, length: rows });
    gpu.device.queue.submit([encoder.finish()]);
    const bytes = await gpu.read(this.#ranks, 0, rows * LOGPROBS_BYTES);
    return Array.from({ length: rows }, (_, row) => {
      const found = decodeLogprobs(bytes, row * LOGPROBS_BYTES, TOP_LOGPROBS);
      if (!found) throw new ResonantError("model", "a readout's votes are not finite");
      return found.top.map(({ token }) => token);
    });
  }

  destroy(): void {
    this.#scratch.destroy();
  }
}
