/**
 * LayerNorm (Ba et al. 2016): `(h − mean) / √(var + 1e-5) ⊙ weight + bias` over each row's `size` values, the variance
 * being the mean square about the mean. `h` and the result `[rows, size]`.
 */
export function layerNormReference(
  h: ArrayLike<number>,
  weight: ArrayLike<number>,
  bias: ArrayLike<number>,
  size: number,
): Float64Array {
  const out = new Float64Array(h.length);
  for (let base = 0; base < h.length; base += size) {
    let mean = 0;
    for (let d = 0; d < size; d++) mean += h[base + d]! / size;
    let variance = 0;
    for (let d = 0; d < size; d++) variance += (h[base + d]! - mean) ** 2 / size;
    for (let d = 0; d < size; d++) {
      out[base + d] = ((h[base + d]! - mean) / Math.sqrt(variance + 1e-5)) * weight[d]! + bias[d]!;
    }
  }
  return out;
}
