/**
 * `c[t] = x[t] + b + Σ_i w[i] ⊙ x[t − (k − 1) + i]` for one stream (SPEC §1): `x [length, D]`; `weight [k, D]`, oldest tap
 * first; `tail [k − 1, D]`, the inputs before the pass, oldest first. k = 0 only adds the bias.
 */
export function shortConvReference(
  x: ArrayLike<number>,
  tail: ArrayLike<number>,
  weight: ArrayLike<number>,
  bias: ArrayLike<number>,
  size: number,
): Float64Array {
  const taps = weight.length / size;
  const before = Math.max(0, taps - 1);
  const all = [...Array.from(tail).slice(0, before * size), ...Array.from(x)];
  const out = new Float64Array(x.length);
  for (let i = 0; i < out.length; i++) {
    const t = Math.floor(i / size);
    const d = i % size;
    out[i] = x[i]! + bias[d]!;
    for (let tap = 0; tap < taps; tap++) {
      out[i]! += weight[tap * size + d]! * all[(t + tap) * size + d]!;
    }
  }
  return out;
}
