import type { AttentionShape } from "../attention/attention.ts";

/**
 * Rotary position embedding (Su et al. 2021) of one row `[(H + 2 KV) · size]`: in each head of q and k, each pair (x_i,
 * x_{i + R/2}) of the first R values is rotated by the angle of frequency i; `angles` `[R/2, 2]` are (cos, sin) for the
 * row's position. The result has the row's shape.
 */
export function ropeReference(
  row: ArrayLike<number>,
  angles: ArrayLike<number>,
  { heads, kvHeads, headSize, rotary }: AttentionShape,
): Float64Array {
  const out = Float64Array.from(row);
  const half = rotary / 2;
  for (let head = 0; head < heads + kvHeads; head++) {
    for (let i = 0; i < half; i++) {
      const [a, b] = [head * headSize + i, head * headSize + i + half];
      const [cos, sin] = [angles[2 * i]!, angles[2 * i + 1]!];
      out[a] = row[a]! * cos - row[b]! * sin;
      out[b] = row[b]! * cos + row[a]! * sin;
    }
  }
  return out;
}
