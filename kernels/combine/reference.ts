import { layerNormReference } from "../layer-norm/reference.ts";

/** The input of `combine` for one row, each vector `[D]`; a memory that the block does not have is left out. */
export interface CombineRow {
  readonly h: ArrayLike<number>;
  readonly x: ArrayLike<number>;
  readonly u: ArrayLike<number>;
  readonly pvm?: { readonly m: ArrayLike<number>; readonly gate: ArrayLike<number>; readonly theta: number };
  readonly plm?: { readonly out: ArrayLike<number>; readonly gate: ArrayLike<number> };
  readonly psi: number;
}

/** `norm` `[2, D]`: LN2's weight and bias; `cosine`, `sine`: W_ph's columns; `gain` is γ·ramp. */
export interface CombineWeights {
  readonly norm: Float32Array;
  readonly cosine: ArrayLike<number>;
  readonly sine: ArrayLike<number>;
  readonly bias: ArrayLike<number>;
  readonly alpha: number;
  readonly gain: number;
}

/** Every pair (v[j], v[j + ⌊D/2⌋]) multiplied by e^{iθ}; an odd D's last element stays. */
export function rotateReference(v: ArrayLike<number>, theta: number): Float64Array {
  const half = Math.floor(v.length / 2);
  const out = Float64Array.from(v);
  for (let j = 0; j < half; j++) {
    out[j] = Math.cos(theta) * v[j]! - Math.sin(theta) * v[j + half]!;
    out[j + half] = Math.sin(theta) * v[j]! + Math.cos(theta) * v[j + half]!;
  }
  return out;
}

/**
 * `y + γ·ramp·p` with `y = u + g_v ⊙ Rot(θ) m + g_l ⊙ PLM`, `p = (1 − α) x + α e` and `e = W_ph [cos ψ, sin ψ] + b_ph` (SPEC
 * §1), for one row; the result `[D]`.
 */
export function sumReference(
  row: Omit<CombineRow, "h">,
  weights: Omit<CombineWeights, "norm">,
): Float64Array {
  const readOut = row.pvm && rotateReference(row.pvm.m, row.pvm.theta);
  return Float64Array.from({ length: row.x.length }, (_, d) => {
    let y = row.u[d]!;
    if (row.pvm && readOut) y += row.pvm.gate[d]! * readOut[d]!;
    if (row.plm) y += row.plm.gate[d]! * row.plm.out[d]!;
    const drive =
      weights.cosine[d]! * Math.cos(row.psi) + weights.sine[d]! * Math.sin(row.psi) + weights.bias[d]!;
    return y + weights.gain * ((1 - weights.alpha) * row.x[d]! + weights.alpha * drive);
  });
}

/** `h' = h + LN2(y + γ·ramp·p)` ({@link sumReference}) for one row; the result `[D]`. */
export function combineReference(row: CombineRow, weights: CombineWeights): Float64Array {
  const size = row.h.length;
  const [weight, bias] = [weights.norm.subarray(0, size), weights.norm.subarray(size, 2 * size)];
  const normed = layerNormReference(sumReference(row, weights), weight, bias, size);
  return normed.map((value, d) => row.h[d]! + value);
}

/** The conv tail after a pass: the last `tail` rows of `before` and the pass's `x`, oldest first. */
export function tailReference(before: ArrayLike<number>, x: ArrayLike<number>, tail: number, size: number) {
  const all = [...Array.from(before), ...Array.from(x)];
  return Float64Array.from(all.slice(all.length - tail * size));
}
