import { ceilDivide, type Dispatch, dispatch, Kernel, type KernelHost, type PassBuffers } from "../kernel.ts";
import invocation from "../lib/invocation.wgsl";
import invocationLanes from "../lib/invocation-lanes.wgsl";
import run from "../lib/run.wgsl";
import sealed from "../lib/sealed.wgsl";
import source from "./attention.wgsl";
import each from "./each.wgsl";
import eachLanes from "./each-lanes.wgsl";
import keysScalar from "./keys-f32.wgsl";
import keysVector from "./keys-vec4.wgsl";
import query from "./query.wgsl";
import softmax from "./softmax.wgsl";

/**
 * The shape of a layer's attention over a cache of keys and values. The kernels that rotate, write and read the cache must
 * agree on it.
 */
export interface AttentionShape {
  /** Query heads H, a multiple of `kvHeads`. */
  readonly heads: number;
  /** KV, heads of the keys and values: query head h reads head ⌊h / (H / KV)⌋ (GQA, Ainslie et al. 2023). */
  readonly kvHeads: number;
  /** Floats of a head, 1 to 256. */
  readonly headSize: number;
  /** R: the first R floats of a head are rotated. Even, at most `headSize`; 0 rotates none. */
  readonly rotary: number;
  /** P, positions in one slot of the cache. */
  readonly positions: number;
  /** Factor of q · k; 1 / √headSize by default. */
  readonly scale?: number;
}

export interface AttentionBuffers extends PassBuffers {
  /** `[rows, (H + 2 KV) · headSize]`: q as `rope` left it, then k and v, which are not read. */
  readonly qkv: GPUBuffer;
  /** `[slots, P, KV, headSize]`, up to each row's own position. */
  readonly keys: GPUBuffer;
  /** `[slots, P, KV, headSize]`, likewise. */
  readonly values: GPUBuffer;
  /** `[rows, H · headSize]`, written. */
  readonly out: GPUBuffer;
}

/** Keys in a chunk. Both kernels sum chunk by chunk. */
export const KEYS = 64;
/** Queries that share a workgroup's reads of the cache. */
const QUERIES = 8;
const SPLITS = 32;

/**
 * How the positions of a slot are divided for decode: into at most 32 splits, each of whole chunks. Prefill sums in the
 * same order, so that it gives the same bits as decode.
 */
export function splitsOf(shape: AttentionShape): { keys: number; count: number } {
  const keys = ceilDivide(ceilDivide(shape.positions, KEYS), SPLITS) * KEYS;
  return { keys, count: ceilDivide(shape.positions, keys) };
}

/**
 * The kernel for a shape: the text that both attention kernels share, then `parts`. Keys are read as vec4s where the head
 * size allows it.
 */
export function keyKernels(name: string, ...parts: string[]): (shape: AttentionShape) => Kernel {
  const vector = new Kernel(`${name}-vec4`, run, sealed, softmax, query, keysVector, ...parts);
  const scalar = new Kernel(`${name}-f32`, run, sealed, softmax, query, keysScalar, ...parts);
  return ({ headSize }) => (headSize % 4 === 0 ? vector : scalar);
}

export const attentionOverrides = (shape: AttentionShape) => ({
  HEADS: shape.heads,
  KV_HEADS: shape.kvHeads,
  SIZE: shape.headSize,
  POSITIONS: shape.positions,
  SPLIT: splitsOf(shape).keys,
  SCALE: shape.scale ?? 1 / Math.sqrt(shape.headSize),
});

/** The work of attention at most: the position is not known, so each row is counted with all keys of a slot. */
export const attentionWork =
  ({ heads, headSize, positions }: AttentionShape): Dispatch["work"] =>
  ({ rows }) =>
    4 * heads * headSize * positions * rows;

const kernel = keyKernels("attention", invocation, each, source);
const lanesKernel = keyKernels("attention-lanes", invocationLanes, eachLanes, source);

/**
 * Causal attention for prefill: many rows of each stream over its slot's cache, which `rope` has filled up to the last of
 * them. `out[row, h] = Σ_j softmax_j(scale · q · k_j) v_j` over positions j from 0 to the row's own. Fused and tiled, with
 * an online softmax (FlashAttention, Dao et al. 2022; Milakov and Gimelshein 2018). Bit for bit the same as
 * `attentionStep`, whatever other streams are in the pass and wherever a prompt is cut.
 *
 * Positions are below `P`. Takes 32 · headSize + 2304 bytes of workgroup storage (6.25 KiB for heads of 128, 10.25 KiB for
 * 256). Indices are 32-bit counts of floats. All of them lie within the buffers, so a buffer may hold up to 2^32 floats.
 */
export function attention(host: KernelHost, shape: AttentionShape, buffers: AttentionBuffers): Dispatch {
  const { run, schedule, qkv, keys, values, out } = buffers;
  return dispatch(
    host,
    host.sharedLoadLanes > 0 ? lanesKernel(shape) : kernel(shape),
    {
      ...attentionOverrides(shape),
      ...(host.sharedLoadLanes > 0 ? { SHARED_LOAD_LANES: host.sharedLoadLanes } : {}),
    },
    [run, schedule, qkv, keys, values, out],
    ({ rows, length }) => [shape.heads, (rows / length) * ceilDivide(length, QUERIES)],
    attentionWork(shape),
  );
}
