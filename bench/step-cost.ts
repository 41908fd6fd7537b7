import { matrixBytes, type WeightFormat } from "../kernels/matrix.ts";

/**
 * What a step of one stream reads of a model's matrices at least, in bytes, and their products' operations.
 * @param shapes of all tensors by name
 * @param embedding the one of which it reads a row, where the head has a matrix of its own
 */
export function stepCost(
  shapes: ReadonlyMap<string, readonly number[]>,
  embedding: string | undefined,
  format: WeightFormat,
): { bytes: number; flops: number } {
  let [bytes, flops] = [0, 0];
  for (const [name, [rows = 0, columns]] of shapes) {
    if (columns === undefined || name === embedding) continue;
    bytes += matrixBytes(rows, columns, format);
    flops += 2 * rows * columns;
  }
  return { bytes, flops };
}
