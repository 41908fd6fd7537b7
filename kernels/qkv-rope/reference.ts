import type { AttentionShape } from "../attention/attention.ts";
import { layerNormReference, type NormKind } from "../layer-norm/reference.ts";
import { linearReference } from "../linear/reference.ts";
import { ropeReference } from "../rope/reference.ts";

/** `norm [2, K]`: weight, bias; `weight [(H + 2 KV) · hd, K]`; `bias [(H + 2 KV) · hd]` or none. */
export interface QkvWeights {
  readonly norm: Float32Array;
  readonly weight: ArrayLike<number>;
  readonly bias?: ArrayLike<number> | undefined;
}

/**
 * The heads of one token: `q, k, v = norm(h) Wᵀ + b`, q and k rotated ({@link ropeReference}). `h [K]`; `angles [R/2, 2]` for
 * the row's position; the result `[(H + 2 KV) · hd]`.
 */
export function qkvRopeReference(
  h: ArrayLike<number>,
  { norm, weight, bias }: QkvWeights,
  angles: ArrayLike<number>,
  shape: AttentionShape,
  kind: NormKind,
): Float64Array {
  const columns = h.length;
  const normed = layerNormReference(h, norm.subarray(0, columns), norm.subarray(columns), columns, kind);
  const width = (shape.heads + 2 * shape.kvHeads) * shape.headSize;
  return ropeReference(linearReference(normed, weight, bias, [1, width, columns]), angles, shape);
}
