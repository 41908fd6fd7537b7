import { ceilDivide, type Dispatch, dispatch, type KernelHost } from "../kernel.ts";
import pairs from "../lib/pairs.wgsl";
import reduce from "../lib/reduce.wgsl";
import source from "./memory-window.wgsl";

const kernel = { name: "memory-window", code: [reduce, pairs, source].join("\n") };

/** How one pair fades from token to token: β, and λe^{iω}; the lattice's is 0 where a model has none. */
export interface PairFade {
  readonly beta: number;
  readonly re: number;
  readonly im: number;
}

export interface MemoryWindowBuffers {
  /** `[slots, D]`: features u. */
  readonly features: GPUBuffer;
  /** `[span − 1 + rows]`, u32: the slot of each token, those before the first row's first. */
  readonly slots: GPUBuffer;
  /** `[⌈D/2⌉, 8]`: see {@link fadeTable}. */
  readonly fades: GPUBuffer;
  /** `[rows, 2, D]`, written: of each memory, of length 1, or 0 where the window is zero. */
  readonly windows: GPUBuffer;
}

/**
 * The windowed states of SPEC §5, `w_t = m_t − f^k ⊙ m_{t−k}`, k = `span`, in their closed form `Σ_{i<k} f^i ⊙ u_{t−i}`:
 * nothing is subtracted and nothing carried from before, so that equal tokens give equal bits wherever they stand.
 * Elements are weighed by {@link gainOf}, and each memory's state scaled to length 1.
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
    { D: size, PAIRS: ceilDivide(size, 2), SPAN: span },
    [buffers.features, buffers.slots, buffers.fades, buffers.windows],
    ({ rows }) => [rows, 1],
  );
}

/**
 * What makes a pair's share of a window the same whatever its time scale: `1 / √(Σ_{i<span} |f|^{2i})`, the length that
 * tokens of length 1 without correlation leave. By the memory's own drive the slow pairs would weigh next to nothing.
 * @param modulus |f|
 */
export function gainOf(modulus: number, span: number): number {
  let square = 0;
  for (let i = 0; i < span; i++) square += modulus ** (2 * i);
  return 1 / Math.sqrt(square);
}

/** `Fade` of the kernel for each pair, `[pairs, 8]`. */
export function fadeTable(pairs: readonly PairFade[], span: number): Float32Array<ArrayBuffer> {
  return Float32Array.from(
    pairs.flatMap(({ beta, re, im }) => [
      beta,
      re,
      im,
      0,
      gainOf(beta, span),
      gainOf(Math.hypot(re, im), span),
      0,
      0,
    ]),
  );
}
