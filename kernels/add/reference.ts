/**
 * `h + x`: `h` and the result `[rows, size]`; `x [rows, stride]`, where only the first `size` values of each row are used.
 */
export function addReference(
  h: ArrayLike<number>,
  x: ArrayLike<number>,
  size: number,
  stride: number,
): Float64Array {
  return Float64Array.from(h, (value, i) => value + x[Math.floor(i / size) * stride + (i % size)]!);
}
