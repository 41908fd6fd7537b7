/**
 * Each row times its own factor: `x [rows, stride]`, where only the first `size` values of each row are used; `scales
 * [rows]`; the result `[rows, size]`.
 */
export function scaleRowsReference(
  x: ArrayLike<number>,
  scales: ArrayLike<number>,
  size: number,
  stride: number,
): Float64Array {
  return Float64Array.from({ length: scales.length * size }, (_, i) => {
    const row = Math.floor(i / size);
    return scales[row]! * x[row * stride + (i % size)]!;
  });
}
