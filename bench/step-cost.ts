import { matrixBytes, type WeightFormat } from "../kernels/matrix.ts";

/**
 * Returns the cost of one stream's step: the minimum of bytes that it reads of the matrices, and the floating-point operations of
 * its matrix products.
 * @param shapes the shapes of all tensors, by name
 * @param without names of matrices that a step does not read whole, such as an embedding, of which it reads one row
 */
export function stepCost(
  shapes: ReadonlyMap<string, readonly number[]>,
  without: readonly string[],
  format: WeightFormat,
): { bytes: number; flops: number } {
  let [bytes, flops] = [0, 0];
  for (const [name, [rows = 0, columns]] of shapes) {
    if (columns === undefined || without.includes(name)) continue;
    bytes += matrixBytes(rows, columns, format);
    flops += 2 * rows * columns;
  }
  return { bytes, flops };
}
