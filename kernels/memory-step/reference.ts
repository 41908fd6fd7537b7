import { linearReference, sigmoidReference } from "../linear/reference.ts";
import type { PairDecay } from "../memory-scan/memory-scan.ts";
import { type Memories, memoryReference } from "../memory-scan/reference.ts";

export interface MemoryStep extends Memories {
  /** σ(W_g u + b_g) of each memory, `[D]`. */
  readonly pvmGate: Float64Array;
  readonly plmGate: Float64Array;
  /** W_out z + b_out, `[D]`. */
  readonly plm: Float64Array;
}

/**
 * Both memories after one more token, their gates and the lattice's read-out (SPEC §1). `u [D]`; `weight [3D, D]` and
 * `bias [3D]`: PVM gate, PLM gate, PLM out. Without `gated` a gate is σ(b_g).
 */
export function memoryStepReference(
  u: ArrayLike<number>,
  decay: readonly PairDecay[],
  start: { readonly m: ArrayLike<number>; readonly z: ArrayLike<number> },
  weights: { readonly weight: Float32Array; readonly bias: Float32Array },
  gated: boolean,
  size: number,
): MemoryStep {
  const { m, z } = memoryReference(u, decay, start, size);
  const product = (x: ArrayLike<number>, kind: number, columns: number) =>
    linearReference(
      x,
      weights.weight.subarray(kind * size * size, (kind + 1) * size * size),
      weights.bias.subarray(kind * size, (kind + 1) * size),
      [1, size, columns],
    );
  const gate = (kind: number) => product(u, kind, gated ? size : 0).map(sigmoidReference);
  return { m, z, pvmGate: gate(0), plmGate: gate(1), plm: product(z, 2, size) };
}
