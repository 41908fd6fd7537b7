import { type Dispatch, dispatch, type KernelHost } from "../kernel.ts";
import reduce from "../lib/reduce.wgsl";
import source from "./memory-window.wgsl";

const kernel = { name: "memory-window", code: [reduce, source].join("\n") };

/** How one pair fades from token to token, β and λe^{iω}, and what drives it, α and 1 − λ; 0 where a model has none. */
export interface PairFade {
  readonly beta: number;
  readonly alpha: number;
  readonly re: number;
  readonly im: number;
  readonly drive: number;
}

export interface MemoryWindowBuffers {
  /** `[slots, W]`, W = {@link planarWidth}: features u, as {@link toPlanar} lays them. */
  readonly features: GPUBuffer;
  /** `[span − 1 + rows]`, u32: the slot of each token, those before the first row's first. */
  readonly slots: GPUBuffer;
  /** `[W/8, 5, 4]`: see {@link fadeTable}. */
  readonly fades: GPUBuffer;
  /** `[rows, 2, W]`, written: the vector memory's, the lattice's. */
  readonly windows: GPUBuffer;
  /** `[rows, 2]`, written: one over the length of each, 0 where it is zero. */
  readonly scales: GPUBuffer;
}

/**
 * The windowed states of SPEC §5, `w_t = m_t − f^k ⊙ m_{t−k}`, k = `span`, in their closed form `Σ_{i<k} f^i ⊙ u_{t−i}`:
 * nothing is subtracted and nothing carried from before, so that equal tokens give equal bits wherever they stand.
 * Elements are weighed by {@link gainOf}.
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

/** Numbers of a D-vector as the kernel reads it: the pairs' first elements and their second ones, each filled up to vec4s. */
export const planarWidth = (size: number): number => 8 * Math.ceil(size / 8);

/** A D-vector of pairs (SPEC §0) so laid: `[W]`, zeros where it has nothing. An odd D's last element is a first one. */
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
 * What makes a pair's share of a window the same whatever its time scale: `1 / √(Σ_{i<span} |f|^{2i})`, the length that
 * tokens of length 1 without correlation leave. By the memory's own drive the slow pairs would weigh next to nothing.
 * A pair that nothing drives remembers nothing: 0.
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
 * @param pairs `[⌈D/2⌉]`; the lattice has none of an odd D's last element
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
      whole ? gainOf(Math.hypot(re, im), drive, span) : 0,
    ];
    columns.forEach((value, column) => {
      table[Math.floor(p / 4) * 20 + column * 4 + (p % 4)] = value;
    });
  });
  return table;
}
