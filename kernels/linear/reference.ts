/** σ(x) = 1 / (1 + e^{−x}). */
export const sigmoidReference = (x: number): number => 1 / (1 + Math.exp(-x));

/**
 * `Y = X Wᵀ + b`: `x [rows, K]`, `weight [N, K]`, `bias [N]` or none, the result `[rows, N]`. K may be 0: Y is then the
 * bias in every row.
 */
export function linearReference(
  x: ArrayLike<number>,
  weight: ArrayLike<number>,
  bias: ArrayLike<number> | undefined,
  [rows, n, k]: readonly [rows: number, n: number, k: number],
): Float64Array {
  const out = new Float64Array(rows * n);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < n; column++) {
      let sum = bias?.[column] ?? 0;
      for (let i = 0; i < k; i++) sum += x[row * k + i]! * weight[column * k + i]!;
      out[row * n + column] = sum;
    }
  }
  return out;
}

/** GLU: the first half of each row ⊙ σ(its second half). `y [rows, 2·size]`, the result `[rows, size]`. */
export function gluReference(y: ArrayLike<number>, size: number): Float64Array {
  const out = new Float64Array(y.length / 2);
  for (let i = 0; i < out.length; i++) {
    const first = Math.floor(i / size) * 2 * size + (i % size);
    out[i] = y[first]! * sigmoidReference(y[first + size]!);
  }
  return out;
}
