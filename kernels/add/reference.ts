/** `h + x`: `h` and the result `[rows, size]`, `x [rows, stride]`, of which the first `size` of each row are taken. */
export function addReference(
  h: ArrayLike<number>,
  x: ArrayLike<number>,
  size: number,
  stride: number,
): Float64Array {
  return Float64Array.from(h, (value, i) => value + x[Math.floor(i / size) * stride + (i % size)]!);
}
