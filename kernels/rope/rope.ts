import type { AttentionShape } from "../attention/attention.ts";
import { ceilDivide, type Dispatch, dispatch, Kernel, type KernelHost, type PassBuffers } from "../kernel.ts";
import run from "../lib/run.wgsl";
import source from "./rope.wgsl";

const kernel = new Kernel("rope", run, source);

export interface RopeBuffers extends PassBuffers {
  /** `[P, R/2, 2]`: cosine and sine of each position and frequency, computed in f64; any 8 bytes where R is 0. */
  readonly angles: GPUBuffer;
  /** `[rows, (H + 2 KV) · headSize]`: heads of q, of k, of v. q is written. */
  readonly qkv: GPUBuffer;
  /** `[slots, P, KV, headSize]`, written at each row's slot and position. */
  readonly keys: GPUBuffer;
  /** `[slots, P, KV, headSize]`, written in the same way. */
  readonly values: GPUBuffer;
}

/**
 * Rotary position embedding (Su et al. 2021, RoFormer) of the first R values of each head, in pairs (i, i + R/2) as in
 * GPT-NeoX and Llama. q is rotated in place; k is rotated and written to the cache; v is copied to the cache. k and v in
 * `qkv` stay unchanged. A row whose position is P or more is skipped.
 */
export function rope(host: KernelHost, shape: AttentionShape, buffers: RopeBuffers): Dispatch {
  const { heads, kvHeads, headSize, rotary, positions } = shape;
  const items = (heads + 2 * kvHeads) * (headSize - rotary / 2);
  return dispatch(
    host,
    kernel,
    { HEADS: heads, KV_HEADS: kvHeads, SIZE: headSize, HALF: rotary / 2, POSITIONS: positions },
    [buffers.run, buffers.schedule, buffers.angles, buffers.qkv, buffers.keys, buffers.values],
    ({ rows }) => [ceilDivide(items, 64), rows],
  );
}
