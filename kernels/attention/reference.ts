import type { AttentionShape } from "./attention.ts";

/**
 * Causal attention (Vaswani et al. 2017) of one stream's rows, `qkv` `[rows, (H + 2 KV) · size]` with q rotated, at
 * positions `start`, `start + 1`, …: `out[row, h] = Σ_j softmax_j(scale · q · k_j) v_j` over j from 0 to the row's
 * position. `keys` and `values` `[≥ start + rows, KV, size]`; the result `[rows, H · size]`.
 */
export function attentionReference(
  qkv: ArrayLike<number>,
  keys: ArrayLike<number>,
  values: ArrayLike<number>,
  start: number,
  { heads, kvHeads, headSize: size, scale = 1 / Math.sqrt(size) }: AttentionShape,
): Float64Array {
  const width = (heads + 2 * kvHeads) * size;
  const rows = qkv.length / width;
  const out = new Float64Array(rows * heads * size);
  for (let row = 0; row < rows; row++) {
    for (let head = 0; head < heads; head++) {
      const q = row * width + head * size;
      const kv = Math.floor(head / (heads / kvHeads)) * size;
      const scores = Array.from({ length: start + row + 1 }, (_, j) => {
        let sum = 0;
        for (let d = 0; d < size; d++) sum += qkv[q + d]! * keys[j * kvHeads * size + kv + d]!;
        return sum * scale;
      });
      const peak = scores.reduce((a, b) => Math.max(a, b));
      const weights = scores.map((score) => Math.exp(score - peak));
      const total = weights.reduce((a, b) => a + b);
      weights.forEach((weight, j) => {
        for (let d = 0; d < size; d++) {
          out[(row * heads + head) * size + d]! += (weight / total) * values[j * kvHeads * size + kv + d]!;
        }
      });
    }
  }
  return out;
}
