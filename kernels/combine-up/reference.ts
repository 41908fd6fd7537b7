import { layerNormReference } from "../layer-norm/reference.ts";
import { gluReference, linearReference } from "../linear/reference.ts";

/** `norms [4, D]`: weight and bias of LN2 and of LN3; `weight [2M, D]` and `bias [2M]`, the gates' rows after the values'. */
export interface CombineUpWeights {
  readonly norms: Float32Array;
  readonly weight: ArrayLike<number>;
  readonly bias: ArrayLike<number>;
}

/** `h' = h + LN2(s)` `[D]` and `inner = GLU(W LN3(h') + b)` `[M]` (SPEC §1), for one row: `s [D]`, `h [D]`. */
export function combineUpReference(
  s: ArrayLike<number>,
  h: ArrayLike<number>,
  { norms, weight, bias }: CombineUpWeights,
): { readonly after: Float64Array; readonly inner: Float64Array } {
  const size = h.length;
  const vector = (i: number) => norms.subarray(i * size, (i + 1) * size);
  const after = layerNormReference(s, vector(0), vector(1), size).map((value, d) => h[d]! + value);
  const normed = layerNormReference(after, vector(2), vector(3), size);
  return {
    after,
    inner: gluReference(linearReference(normed, weight, bias, [1, bias.length, size]), bias.length / 2),
  };
}
