import { ResonantError } from "../../common/errors.ts";
import type { Dispatch } from "../../kernels/kernel.ts";
import { linearTiled } from "../../kernels/linear/linear.ts";
import { CHUNK, memoryScan } from "../../kernels/memory-scan/memory-scan.ts";
import { encodeRun, runUniform } from "../../kernels/run.ts";
import type { Gpu } from "../device/gpu.ts";
import { TemporaryBuffers } from "../device/temporary-buffers.ts";
import type { Weights } from "../weights.ts";

/** Bytes of a `[rows, 2, D]` of one block of tokens. */
const BLOCK_BYTES = 4 * 2 ** 20;

/**
 * The memories of the first block (SPEC §1) over any number of vectors u, from an empty state, as the kernels compute them:
 * in blocks of constant size, with the state kept on the GPU between them. It owns its buffers; destroy it.
 */
export class MemoryTrace {
  /** The maximum vectors per block. Fill all blocks but the last, or the rounding depends on their sizes. */
  readonly rows: number;
  readonly #gpu: Gpu;
  readonly #size: number;
  readonly #scratch: TemporaryBuffers;
  readonly #run: GPUBuffer;
  /** `[rows, 2, D]`, u second. */
  readonly #mixed: GPUBuffer;
  readonly #memory: GPUBuffer;
  readonly #gates: GPUBuffer;
  /** m and z, `[2, D]`. */
  readonly #state: GPUBuffer;
  readonly #staged: Float32Array<ArrayBuffer>;
  readonly #scan: readonly Dispatch[];
  readonly #gate: readonly Dispatch[];

  /**
   * @param most the total number of vectors, which limits the size of blocks
   * @throws ResonantError `unsupported` for a model without blocks
   */
  constructor(gpu: Gpu, weights: Weights, most: number) {
    const { size, gated } = weights.shape;
    const first = weights.blocks[0];
    if (!first) throw new ResonantError("unsupported", "a model without blocks has no memory");
    const chunks = Math.min(Math.floor(BLOCK_BYTES / (8 * size * CHUNK)), Math.ceil(most / CHUNK));
    const rows = CHUNK * Math.max(1, chunks);
    const scratch = new TemporaryBuffers(gpu, "diagnostics");
    const { host } = scratch;
    this.rows = rows;
    this.#gpu = gpu;
    this.#size = size;
    this.#scratch = scratch;
    this.#run = runUniform(host, "diagnostics run");
    this.#mixed = scratch.words("mixed", rows * 2 * size);
    this.#memory = scratch.words("memory", rows * 2 * size);
    this.#gates = scratch.words("gates", rows * size);
    this.#state = scratch.words("state", 2 * size);
    this.#staged = new Float32Array(rows * 2 * size);
    const buffers = {
      run: this.#run,
      schedule: scratch.words("schedule", 8),
      block: first.block,
      mixed: this.#mixed,
      decay: first.decay,
      state: this.#state,
      ends: scratch.words("ends", (rows / CHUNK) * Math.ceil(size / 2) * 4),
      memory: this.#memory,
    };
    // A memory that the model lacks is computed too, but its values are not used.
    const layout = { slotStride: 2 * size, layerStride: 2 * size, tail: 0, pvm: true, plm: true };
    this.#scan = memoryScan(host, size, layout, buffers);
    this.#gate = linearTiled(host, this.#run, {
      ...first.memory,
      rows: [0, size],
      columns: gated ? size : 0,
      input: { buffer: this.#mixed, stride: 2 * size, offset: size },
      output: { buffer: this.#gates, stride: size },
      epilogue: "sigmoid",
    });
  }

  /** m and z after each of the next vectors, `[n, 2, D]`; the vectors `[D]` each, at most {@link rows} of them. */
  advance(us: readonly Float32Array[]): Promise<Float32Array> {
    const size = this.#size;
    const state = 4 * 2 * size;
    this.#submit(us, this.#scan, (encoder) =>
      encoder.copyBufferToBuffer(this.#memory, (us.length - 1) * state, this.#state, 0, state),
    );
    return this.#gpu.readFloats(this.#memory, 0, us.length * 2 * size);
  }

  /**
   * The vector memory's gate for each of at most {@link rows} vectors, `[n, D]`. It depends on u alone; the memories stay as
   * they are.
   */
  gates(us: readonly Float32Array[]): Promise<Float32Array> {
    this.#submit(us, this.#gate);
    return this.#gpu.readFloats(this.#gates, 0, us.length * this.#size);
  }

  #submit(
    us: readonly Float32Array[],
    dispatches: readonly Dispatch[],
    then?: (encoder: GPUCommandEncoder) => void,
  ): void {
    const { device } = this.#gpu;
    const run = { rows: us.length, length: us.length };
    us.forEach((u, row) => {
      this.#staged.set(u, (2 * row + 1) * this.#size);
    });
    device.queue.writeBuffer(this.#mixed, 0, this.#staged, 0, us.length * 2 * this.#size);
    device.queue.writeBuffer(this.#run, 0, encodeRun(run));
    this.#gpu.submit((encoder) => {
      this.#gpu.record(encoder, dispatches, run);
      then?.(encoder);
    });
  }

  destroy(): void {
    this.#scratch.destroy();
  }
}
