/** σ(x) = 1 / (1 + e^{−x}). */
export const sigmoidReference = (x: number): number => 1 / (1 + Math.exp(-x));

/**
 * erf(x) = 2/√π · e^{−x²} Σ 2ⁿ x^{2n+1} / (1·3·…·(2n + 1)); all terms have the same sign. From 6 on it is 1 to f64's last
 * place.
 */
export function erfReference(x: number): number {
  if (Math.abs(x) >= 6) return Math.sign(x);
  let term = x;
  let sum = x;
  for (let n = 1; Math.abs(term) > 1e-20 * Math.abs(sum); n++) {
    term *= (2 * x * x) / (2 * n + 1);
    sum += term;
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
}

/** The elementwise activations: gelu(x) = x Φ(x) and its approximation by tanh (Hendrycks and Gimpel 2016), relu, silu. */
export const activationReference = {
  sigmoid: sigmoidReference,
  gelu: (x: number): number => (x / 2) * (1 + erfReference(x / Math.SQRT2)),
  gelu_tanh: (x: number): number =>
    (x / 2) * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
  relu: (x: number): number => Math.max(0, x),
  silu: (x: number): number => x * sigmoidReference(x),
};

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

/** SwiGLU (Shazeer 2020): silu of the first half of each row ⊙ its second half. Shapes as in {@link gluReference}. */
export function swigluReference(y: ArrayLike<number>, size: number): Float64Array {
  const out = new Float64Array(y.length / 2);
  for (let i = 0; i < out.length; i++) {
    const first = Math.floor(i / size) * 2 * size + (i % size);
    out[i] = activationReference.silu(y[first]!) * y[first + size]!;
  }
  return out;
}
