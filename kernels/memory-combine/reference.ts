import { type CombineWeights, sumReference } from "../combine/reference.ts";
import type { PairDecay } from "../memory-scan/memory-scan.ts";
import { type MemoryStep, memoryStepReference } from "../memory-step/reference.ts";

/** One token: x and u, and m and z before it, `[D]` each; ψ of the drive and θ of the read-out. */
export interface MemoryCombineRow {
  readonly x: ArrayLike<number>;
  readonly u: ArrayLike<number>;
  readonly m: ArrayLike<number>;
  readonly z: ArrayLike<number>;
  readonly psi: number;
  readonly theta: number;
}

/** Which memories a block has, and whether the gates have a matrix. */
export interface MemoryKinds {
  readonly pvm: boolean;
  readonly plm: boolean;
  readonly gated: boolean;
}

/**
 * `memoryStepReference`, and the sum that LN2 takes: `sumReference`. `weight [3D, D]` and `bias [3D]`: PVM gate, PLM gate,
 * PLM out.
 */
export function memoryCombineReference(
  row: MemoryCombineRow,
  decay: readonly PairDecay[],
  products: { readonly weight: Float32Array; readonly bias: Float32Array },
  drive: Omit<CombineWeights, "norm">,
  { pvm, plm, gated }: MemoryKinds,
): MemoryStep & { readonly sum: Float64Array } {
  const { x, u, psi, theta } = row;
  const step = memoryStepReference(u, decay, row, products, gated, x.length);
  const sum = sumReference(
    {
      x,
      u,
      psi,
      ...(pvm && { pvm: { m: step.m, gate: step.pvmGate, theta } }),
      ...(plm && { plm: { out: step.plm, gate: step.plmGate } }),
    },
    drive,
  );
  return { ...step, sum };
}
