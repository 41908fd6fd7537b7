/**
 * The Cholesky factor of a symmetric positive definite matrix, in place: A = L Lᵀ, row by row (Golub and Van Loan,
 * Matrix Computations, 4th ed., §4.2).
 * @param a `[n, n]`, the lower triangle is read and becomes L; the rest is not changed
 * @returns the first row at which A is singular to f64's precision, or not positive; undefined if there is none
 */
export function factorize(a: Float64Array, n: number): number | undefined {
  for (let i = 0; i < n; i++) {
    const row = a.subarray(i * n, i * n + i);
    const diagonal = a[i * n + i]!;
    let pivot = diagonal;
    for (let j = 0; j < i; j++) {
      const other = a.subarray(j * n, j * n + j);
      let sum = row[j]!;
      for (let k = 0; k < j; k++) sum -= row[k]! * other[k]!;
      const value = sum / a[j * n + j]!;
      row[j] = value;
      pivot -= value * value;
    }
    // If a row depends on the rows before it, its pivot is only the rounding error of the sums.
    if (!(pivot > n * Number.EPSILON * diagonal)) return i;
    a[i * n + i] = Math.sqrt(pivot);
  }
  return undefined;
}

/**
 * Solves L Lᵀ X = B in place.
 * @param factor L `[n, n]`, of {@link factorize}
 * @param b `[n, columns]`, becomes X
 */
export function solveFactorized(factor: Float64Array, n: number, b: Float64Array, columns: number): void {
  const row = (i: number): Float64Array => b.subarray(i * columns, (i + 1) * columns);
  for (let i = 0; i < n; i++) {
    const own = row(i);
    for (let j = 0; j < i; j++) subtract(own, row(j), factor[i * n + j]!);
    divide(own, factor[i * n + i]!);
  }
  for (let i = n - 1; i >= 0; i--) {
    const own = row(i);
    for (let j = i + 1; j < n; j++) subtract(own, row(j), factor[j * n + i]!);
    divide(own, factor[i * n + i]!);
  }
}

function subtract(target: Float64Array, source: Float64Array, factor: number): void {
  for (let c = 0; c < target.length; c++) target[c]! -= factor * source[c]!;
}

function divide(target: Float64Array, by: number): void {
  for (let c = 0; c < target.length; c++) target[c]! /= by;
}
