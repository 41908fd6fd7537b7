import type { PairFade } from "../../kernels/memory-window/memory-window.ts";
import type { Gpu } from "../device/gpu.ts";
import type { Weights } from "../weights.ts";

/** Columns of `decayTable`: β, α, Re λe^{iω}, Im λe^{iω}, 1 − λ, and powers. */
const COLUMNS = 8;

const known = new WeakMap<Weights, Promise<readonly PairFade[]>>();

/** Reads the decay factors of the first block's memories, `[⌈D/2⌉]`, in f32 as in the kernels. Cached per weights. */
export function readFades(gpu: Gpu, weights: Weights): Promise<readonly PairFade[]> {
  const fades = known.get(weights) ?? readTable(gpu, weights);
  known.set(weights, fades);
  fades.catch(() => known.delete(weights)); // do not cache a failed read
  return fades;
}

async function readTable(gpu: Gpu, { blocks, shape }: Weights): Promise<PairFade[]> {
  const pairs = Math.ceil(shape.size / 2);
  const table = blocks[0] ? await gpu.readFloats(blocks[0].decay, 0, pairs * COLUMNS) : new Float32Array();
  return Array.from({ length: pairs }, (_, p) => {
    const [beta = 0, alpha = 0, re = 0, im = 0, drive = 0] = table.subarray(p * COLUMNS, (p + 1) * COLUMNS);
    return { beta, alpha, re, im, drive };
  });
}
