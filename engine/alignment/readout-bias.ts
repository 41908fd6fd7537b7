import { ResonantError } from "../../common/errors.ts";
import { type Matrix, matrixBytes } from "../../kernels/matrix.ts";
import { packWeight } from "../../kernels/pack-weight/pack-weight.ts";
import type { Gpu } from "../device/gpu.ts";
import type { MemoryCount } from "../device/memory.ts";
import { TemporaryBuffers } from "../device/temporary-buffers.ts";
import { transpose, type Weights } from "../weights.ts";

/**
 * Buffers of the logit bias of a pass's readouts (KISS-Ridge, SPEC §5): row t's logits gain λ m_t W Eᵀ, with m_t the first
 * block's vector memory after token t (see `readouts`), W the alignment and E `[V, D]` the embedding.
 */
export interface ReadoutBiasBuffers {
  /** Wᵀ, `[D, D]`: a product's rows are its outputs. */
  readonly weight: Matrix;
  /** λ of each row, `[rows]`. */
  readonly scales: GPUBuffer;
  /** λ m_t, `[rows, D]`. */
  readonly readouts: GPUBuffer;
}

/** The logit bias of a model's calibrated readout, for all passes of one runner. Without an alignment there is no bias. */
export class ReadoutBias {
  readonly #gpu: Gpu;
  readonly #weights: Pick<Weights, "shape" | "blocks">;
  readonly #memory: MemoryCount;
  #alignment: Matrix | undefined;
  readonly #buffers = new Map<object, ReadoutBiasBuffers>();

  constructor(gpu: Gpu, weights: Pick<Weights, "shape" | "blocks">, memory: MemoryCount) {
    this.#gpu = gpu;
    this.#weights = weights;
    this.#memory = memory;
  }

  /**
   * Sets the alignment, replacing an earlier one.
   * @param alignment W, `[D, D]`
   * @throws ResonantError `unsupported` if the model has no vector memory, `invalid_argument` for a W of another size
   */
  align(alignment: Float32Array): void {
    assertVectorMemory(this.#weights);
    const { size } = this.#weights.shape;
    if (alignment.length !== size * size) {
      const message = `${alignment.length} numbers are no [${size}, ${size}]`;
      throw new ResonantError("invalid_argument", message, { option: "alignment" });
    }
    this.#alignment ??= this.#memory.of("alignment", () => alignmentMatrix(this.#gpu, size));
    packAlignment(this.#gpu, alignment, this.#alignment);
  }

  /**
   * Returns whether logits are biased at this scale λ: at all but 0.
   * @throws ResonantError `invalid_argument` for a scale other than 0 without an alignment (option: `readoutScale`)
   */
  applies(scale = 0): boolean {
    if (scale === 0) return false;
    if (this.#alignment) return true;
    throw new ResonantError("invalid_argument", `${scale}, but the model has no alignment`, {
      option: "readoutScale",
      fix: (name) =>
        `Load it with an ${name("alignment")} that \`resonant calibrate\` made, or leave the scale at 0`,
    });
  }

  /** Returns the buffers for passes over these activations. Created at the first call. Requires an alignment. */
  buffers(activations: { readonly rows: number }): ReadoutBiasBuffers {
    const gpu = this.#gpu;
    const buffers = this.#buffers.get(activations) ?? {
      weight: this.#alignment!,
      scales: gpu.storage("scales of readouts", 4 * activations.rows),
      readouts: gpu.storage("readouts", 4 * activations.rows * this.#weights.shape.size),
    };
    this.#buffers.set(activations, buffers);
    return buffers;
  }

  /** Sets λ of each row of the next pass over these activations. */
  setScales(activations: { readonly rows: number }, scales: readonly number[]): void {
    this.#gpu.device.queue.writeBuffer(this.buffers(activations).scales, 0, Float32Array.from(scales));
  }
}

/** @throws ResonantError `unsupported` if the model has no phase-vector memory */
export function assertVectorMemory({ shape, blocks }: Pick<Weights, "shape" | "blocks">): void {
  if (shape.pvm && blocks.length > 0) return;
  throw new ResonantError("unsupported", "the model has no phase-vector memory, which an alignment reads", {
    fix: "Take a native model, or a base model with adapters that have one",
  });
}

/** Allocates an alignment on the GPU. Always f32, since it is small compared with the embedding. */
const alignmentMatrix = (gpu: Gpu, size: number): Matrix => ({
  buffer: gpu.storage("alignment", matrixBytes(size, size, "f32", gpu.weightLayout), "in parts"),
  rows: size,
  columns: size,
  format: "f32",
  layout: gpu.weightLayout,
});

/** Packs W `[D, D]` into `matrix`, after all work submitted so far. */
function packAlignment(gpu: Gpu, alignment: Float32Array, matrix: Matrix): void {
  const { rows, columns } = matrix;
  const scratch = new TemporaryBuffers(gpu, "alignment");
  const given = scratch.words("as read", alignment.length);
  gpu.device.queue.writeBuffer(given, 0, transpose(alignment, columns, rows));
  const packing = packWeight(scratch.host, { matrix: given, rows, weight: matrix });
  gpu.submit((encoder) => gpu.record(encoder, packing, { rows, length: rows }));
  scratch.destroy();
}
