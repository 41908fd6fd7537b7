import { ceilDivide, type Dispatch, dispatch, Kernel, type KernelHost } from "../kernel.ts";
import source from "./segment-cosine.wgsl";

const kernel = new Kernel("segment-cosine", source);

export interface SegmentCosineBuffers {
  /** Uniform: number of rows, and the place of the first one in the ring. */
  readonly rows: GPUBuffer;
  /**
   * `[rows, 3 · segments]`: products with the segments of the vector memory, then with each of the two rows per segment of
   * the lattice.
   */
  readonly products: GPUBuffer;
  /** `[rows, 2]`: 1 / length of each window, PVM's and PLM's. */
  readonly scales: GPUBuffer;
  /** `[ring, segments, 2]`, written for each row: PVM's, PLM's. */
  readonly cosines: GPUBuffer;
}

/**
 * Cosines of windows with segments of length 1, from their products. For the lattice: the modulus of the complex cosine.
 */
export function segmentCosine(
  host: KernelHost,
  segments: number,
  ring: number,
  buffers: SegmentCosineBuffers,
): Dispatch {
  return dispatch(
    host,
    kernel,
    { SEGMENTS: segments, RING: ring },
    [buffers.rows, buffers.products, buffers.scales, buffers.cosines],
    ({ rows }) => [ceilDivide(segments, 64), rows],
  );
}

/**
 * The two rows whose products with a window z are the real and the imaginary part of `Σ z_j · conj(s_j)`, where s is a
 * segment's windowed state read as pairs: `[s_re; s_im]` and `[−s_im; s_re]`. `segment [D]`, D even; the result `[2, D]`.
 */
export function latticeRows(segment: Float32Array): Float32Array {
  const half = segment.length / 2;
  const rows = new Float32Array(2 * segment.length);
  rows.set(segment);
  for (let j = 0; j < half; j++) {
    rows[segment.length + j] = -segment[j + half]!;
    rows[segment.length + j + half] = segment[j]!;
  }
  return rows;
}
