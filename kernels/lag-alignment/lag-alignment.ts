import { ceilDivide, type Dispatch, dispatch, type KernelHost } from "../kernel.ts";
import source from "./lag-alignment.wgsl";

const kernel = { name: "lag-alignment", code: source };

/** Most tokens by which a segment of any cue may lie from where it stands in it. */
export const LAGS = 8;

/** Most of a cue of so many tokens: a quarter of them, at most {@link LAGS}. A longer lag would make another text of it. */
export const mostLag = (length: number): number => Math.min(LAGS, Math.floor(length / 4));

/** What a cosine loses for every token by which a segment's lag differs from that of the one before. */
export const LAG_PENALTY = 0.1;

/** Similarities are rounded to this: below it f32 decides, and equal windows shall be equal and score 1. */
export const SIMILARITY_STEP = 2 ** -19;

export interface LagAlignmentBuffers {
  /** Uniform: positions; the first one's place in the ring; rows before it (at most 2³¹); scores from column to column. */
  readonly positions: GPUBuffer;
  /** `[ring, segments, 2]`: PVM's, PLM's. It must hold the rows up to {@link LAGS} after a cue's end at each position. */
  readonly cosines: GPUBuffer;
  /** `[cues, 4]`, u32: first segment, segments (at least 1), most lag (see {@link mostLag}), nothing. */
  readonly cues: GPUBuffer;
  /** `[segments]`, u32: a segment's last token within its cue. */
  readonly ends: GPUBuffer;
  /** `[modes, 2]`: what PVM and PLM weigh. */
  readonly modes: GPUBuffer;
  /** `[cues, modes, stride]`, u32, as many of each column written as there are positions: see {@link readScore}. */
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
 * lags `|δ_i| ≤` {@link mostLag}, `δ_0 = 0`, where c_i is the weighed cosine with segment i of n, e_i its last token within the
 * cue, and μ {@link LAG_PENALTY}. Equal tokens have 1, without a lag.
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
