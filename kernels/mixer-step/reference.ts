import { layerNormReference } from "../layer-norm/reference.ts";
import { gluReference, linearReference } from "../linear/reference.ts";
import { shortConvReference } from "../short-conv/reference.ts";

/** A mixer's weights: `norm [2, D]`, `conv [k + 1, D]` (taps, then bias; empty for k = 0), `weight [2D, D]`, `bias [2D]`. */
export interface MixerWeights {
  readonly norm: ArrayLike<number>;
  readonly conv: Float32Array;
  readonly weight: ArrayLike<number>;
  readonly bias: ArrayLike<number>;
}

/**
 * One token of one stream (SPEC §1): `x = LN1(h)`, `c = x + conv_k(x)`, `u = GLU(W c + b)`, with the halves of W as in the
 * model's file. `h [D]`, `tail [k − 1, D]`; the result `[2, D]`: x, u.
 */
export function mixerStepReference(
  h: ArrayLike<number>,
  tail: ArrayLike<number>,
  { norm, conv, weight, bias }: MixerWeights,
  size: number,
): Float64Array {
  const weights = Array.from(norm);
  const x = layerNormReference(h, weights.slice(0, size), weights.slice(size), size);
  const taps = conv.length / size - 1;
  const c =
    taps > 0
      ? shortConvReference(x, tail, conv.subarray(0, taps * size), conv.subarray(taps * size), size)
      : x;
  const u = gluReference(linearReference(c, weight, bias, [1, 2 * size, size]), size);
  return Float64Array.of(...x, ...u);
}
