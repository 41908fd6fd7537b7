import { matrixBytes, type WeightFormat } from "../kernels/matrix.ts";

/**
 * What a step of one stream reads of a model's matrices at least, in bytes, and their products' operations.
 * @param shapes of all tensors by name
 * @param without those that it does not read, such as an embedding, of which it reads a row
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
