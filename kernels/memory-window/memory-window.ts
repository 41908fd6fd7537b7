import { lengthOf } from "../../common/length.ts";
import { type Dispatch, dispatch, Kernel, type KernelHost } from "../kernel.ts";
import reduce from "../lib/reduce.wgsl";
import source from "./memory-window.wgsl";

const kernel = new Kernel("memory-window", reduce, source);

/**
 * How one pair fades from token to token (β and λe^{iω}) and how strongly it is driven (α and 1 − λ); 0 where a model lacks
 * that memory.
 */
export interface PairFade {
  readonly beta: number;
  readonly alpha: number;
  readonly re: number;
  readonly im: number;
  readonly drive: number;
}

export interface MemoryWindowBuffers {
  /** `[slots, W]`, W = {@link planarWidth}: features u, in the layout of {@link toPlanar}. */
  readonly features: GPUBuffer;
  /** `[span − 1 + rows]`, u32: the slot of each token; the `span − 1` tokens before the first row come first. */
  readonly slots: GPUBuffer;
  /** `[W/8, 5, 4]`: see {@link fadeTable}. */
  readonly fades: GPUBuffer;
  /** `[rows, 2, W]`, written: the window of the vector memory, then of the lattice. */
  readonly windows: GPUBuffer;
  /** `[rows, 2]`, written: 1 / length of each window, 0 for a window of zeros. */
  readonly scales: GPUBuffer;
}

/**
 * The windowed states of SPEC §5, `w_t = m_t − f^k ⊙ m_{t−k}`, k = `span`, in closed form: `Σ_{i<k} f^i ⊙ u_{t−i}`.
 * Nothing is subtracted and nothing is carried over, so that equal tokens give equal bits wherever they stand. Elements
 * are weighted by {@link gainOf}.
 * @param size D
 */
export function memoryWindow(
  host: KernelHost,
  size: number,
  span: number,
  buffers: MemoryWindowBuffers,
): Dispatch {
  return dispatch(
    host,
    kernel,
    { QUADS: planarWidth(size) / 8, SPAN: span },
    [buffers.features, buffers.slots, buffers.fades, buffers.windows, buffers.scales],
    ({ rows }) => [rows, 1],
  );
}

/**
 * Length of a D-vector in the kernel's layout: the first elements of the pairs, then their second elements, each padded to
 * whole vec4s.
 */
export const planarWidth = (size: number): number => 8 * Math.ceil(size / 8);

/**
 * A D-vector of pairs (SPEC §0) in that layout: `[W]`, padded with zeros. With an odd D the last element counts as a first
 * element.
 */
export function toPlanar(vector: ArrayLike<number>): Float32Array<ArrayBuffer> {
  const half = Math.floor(vector.length / 2);
  const out = new Float32Array(planarWidth(vector.length));
  for (let j = 0; j < half; j++) {
    out[j] = vector[j]!;
    out[out.length / 2 + j] = vector[j + half]!;
  }
  if (vector.length % 2 === 1) out[half] = vector[vector.length - 1]!;
  return out;
}

/**
 * The gain that makes a pair's share of a window independent of its time scale: `1 / √(Σ_{i<span} |f|^{2i})`, one over the
 * length that uncorrelated tokens of length 1 leave. With the memory's own drive the slow pairs would count for almost
 * nothing. A pair without a drive remembers nothing: 0.
 * @param modulus |f|
 * @param drive α or 1 − λ
 */
export function gainOf(modulus: number, drive: number, span: number): number {
  if (drive === 0) return 0;
  let square = 0;
  for (let i = 0; i < span; i++) square += modulus ** (2 * i);
  return 1 / Math.sqrt(square);
}

/**
 * `Fade` of the kernel for four pairs at a time, `[W/8, 5, 4]`.
 * @param pairs `[⌈D/2⌉]`; with an odd D the lattice has nothing for the last element
 */
export function fadeTable(pairs: readonly PairFade[], size: number, span: number): Float32Array<ArrayBuffer> {
  const table = new Float32Array((planarWidth(size) / 8) * 20);
  pairs.forEach(({ beta, alpha, re, im, drive }, p) => {
    const whole = p < Math.floor(size / 2);
    const columns = [
      beta,
      re,
      im,
      gainOf(beta, alpha, span),
      whole ? gainOf(lengthOf([re, im]), drive, span) : 0,
    ];
    columns.forEach((value, column) => {
      table[Math.floor(p / 4) * 20 + column * 4 + (p % 4)] = value;
    });
  });
  return table;
}
