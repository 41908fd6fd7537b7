/** `eps` is added to the variance; an RMSNorm takes the mean as zero. */
export interface NormKind {
  readonly eps?: number;
  readonly rms?: boolean;
}

/**
 * LayerNorm (Ba et al. 2016): `(h − mean) / √(var + eps) ⊙ weight + bias` over each row's `size` values, the variance
 * being the mean square about the mean, eps 1e-5. RMSNorm (Zhang and Sennrich 2019): the same with a mean of zero.
 * `h` and the result `[rows, size]`.
 */
export function layerNormReference(
  h: ArrayLike<number>,
  weight: ArrayLike<number>,
  bias: ArrayLike<number>,
  size: number,
  { eps = 1e-5, rms = false }: NormKind = {},
): Float64Array {
  const out = new Float64Array(h.length);
  for (let base = 0; base < h.length; base += size) {
    let mean = 0;
    for (let d = 0; d < size && !rms; d++) mean += h[base + d]! / size;
    let variance = 0;
    for (let d = 0; d < size; d++) variance += (h[base + d]! - mean) ** 2 / size;
    for (let d = 0; d < size; d++) {
      out[base + d] = ((h[base + d]! - mean) / Math.sqrt(variance + eps)) * weight[d]! + bias[d]!;
    }
  }
  return out;
}
