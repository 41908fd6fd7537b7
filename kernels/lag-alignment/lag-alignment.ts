import { ceilDivide, type Dispatch, dispatch, Kernel, type KernelHost } from "../kernel.ts";
import source from "./lag-alignment.wgsl";

const kernel = new Kernel("lag-alignment", source);

/** The most tokens by which a segment of any cue may be shifted from its place in the cue. */
export const LAGS = 8;

/**
 * The most lag for a cue of `length` tokens: a quarter of them, at most {@link LAGS}. A larger lag would make a different
 * text of it.
 */
export const mostLag = (length: number): number => Math.min(LAGS, Math.floor(length / 4));

/** Penalty on a cosine for every token by which a segment's lag differs from the lag of the segment before. */
export const LAG_PENALTY = 0.1;

/**
 * Similarities are rounded to multiples of this. Differences below it are f32 rounding, and equal windows must get equal
 * scores, namely 1.
 */
export const SIMILARITY_STEP = 2 ** -19;

export interface LagAlignmentBuffers {
  /**
   * Uniform: number of positions; place of the first one in the ring; rows before it (at most 2³¹); scores from column to
   * column.
   */
  readonly positions: GPUBuffer;
  /**
   * `[ring, segments, 2]`: PVM's, PLM's. The ring must hold the rows up to {@link LAGS} after the end of a cue at each
   * position.
   */
  readonly cosines: GPUBuffer;
  /** `[cues, 4]`, u32: first segment, number of segments (at least 1), most lag (see {@link mostLag}), unused. */
  readonly cues: GPUBuffer;
  /** `[segments]`, u32: the last token of each segment within its cue. */
  readonly ends: GPUBuffer;
  /** `[modes, 2]`: weights of PVM and PLM. */
  readonly modes: GPUBuffer;
  /** `[cues, modes, stride]`, u32, written: one score per position in each column, see {@link readScore}. */
  readonly scores: GPUBuffer;
}

export interface LagAlignmentShape {
  readonly cues: number;
  readonly modes: number;
  readonly segments: number;
  readonly ring: number;
}

/**
 * Similarity of each position with each cue in each mode: `max_δ (1/n) Σ_i [c_i(p + e_i + δ_i) − μ |δ_i − δ_{i−1}|]` over
 * lags `|δ_i| ≤` {@link mostLag}, `δ_0 = 0`. Here c_i is the weighted cosine with segment i of n, e_i the segment's last
 * token within the cue, and μ {@link LAG_PENALTY}. Equal tokens score 1, with lag 0.
 */
export function lagAlignment(
  host: KernelHost,
  { cues, modes, segments, ring }: LagAlignmentShape,
  buffers: LagAlignmentBuffers,
): Dispatch {
  return dispatch(
    host,
    kernel,
    { SEGMENTS: segments, RING: ring, PENALTY: LAG_PENALTY, MODES: modes },
    [buffers.positions, buffers.cosines, buffers.cues, buffers.ends, buffers.modes, buffers.scores],
    ({ rows }) => [ceilDivide(rows, 64), cues * modes],
  );
}

/** A score's similarity in [−1, 1], and the lag δ of the cue's last segment. */
export const readScore = (score: number): { similarity: number; lag: number } => ({
  similarity: (score >>> 5) * SIMILARITY_STEP - 1,
  lag: (score & 31) - LAGS,
});
