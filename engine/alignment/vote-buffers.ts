import { type Matrix, matrixBytes } from "../../kernels/matrix.ts";
import { packWeight } from "../../kernels/pack-weight/pack-weight.ts";
import type { Gpu } from "../device/gpu.ts";
import { TemporaryBuffers } from "../device/temporary-buffers.ts";
import { transpose } from "../weights.ts";

/**
 * What the votes of a pass's readouts are made of (KISS-Ridge, SPEC §5): row t's logits gain λ m_t W Eᵀ, with m_t the first
 * block's vector memory after token t (see `readouts`), W the alignment and E `[V, D]` the embedding.
 */
export interface VoteBuffers {
  /** Wᵀ, `[D, D]`: a product's rows are its outputs. */
  readonly weight: Matrix;
  /** λ of each row, `[rows]`. */
  readonly scales: GPUBuffer;
  /** λ m_t, `[rows, D]`. */
  readonly readouts: GPUBuffer;
}

/** Room for an alignment on the GPU. Always f32: it is small beside the embedding that it is multiplied with. */
export const alignmentMatrix = (gpu: Gpu, size: number): Matrix => ({
  buffer: gpu.storage("alignment", matrixBytes(size, size, "f32"), "in parts"),
  rows: size,
  columns: size,
  format: "f32",
});

/**
 * Packs an alignment into `matrix`, after whatever has been submitted.
 * @param weights W, `[D, D]`
 */
export function packAlignment(gpu: Gpu, weights: Float32Array, matrix: Matrix): void {
  const { rows, columns } = matrix;
  const scratch = new TemporaryBuffers(gpu, "alignment");
  const given = scratch.words("as read", weights.length);
  gpu.device.queue.writeBuffer(given, 0, transpose(weights, columns, rows));
  const encoder = gpu.device.createCommandEncoder();
  const packing = packWeight(scratch.host, { matrix: given, rows, weight: matrix });
  gpu.record(encoder, [packing], { rows, length: rows });
  gpu.device.queue.submit([encoder.finish()]);
  scratch.destroy();
}
