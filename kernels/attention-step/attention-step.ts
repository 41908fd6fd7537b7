import {
  type AttentionBuffers,
  type AttentionShape,
  attentionOverrides,
  attentionWork,
  keyKernels,
  splitsOf,
} from "../attention/attention.ts";
import softmax from "../attention/softmax.wgsl";
import { ceilDivide, type Dispatch, dispatch, Kernel, type KernelHost } from "../kernel.ts";
import run from "../lib/run.wgsl";
import source from "./attention-step.wgsl";
import mergeSource from "./merge.wgsl";

const kernel = keyKernels("attention-step", source);
const merge = new Kernel("attention-merge", run, softmax, mergeSource);

export interface AttentionStepBuffers extends AttentionBuffers {
  /**
   * Working buffer of {@link partialsBytes} bytes, `[rows, H, splits, 2 + headSize]`: maximum, sum and values of each
   * split.
   */
  readonly partials: GPUBuffer;
}

/** Bytes of {@link AttentionStepBuffers.partials} for `rows` rows. */
export const partialsBytes = (shape: AttentionShape, rows: number): number =>
  rows * shape.heads * splitsOf(shape).count * (2 + shape.headSize) * 4;

/**
 * Attention for decode, bit for bit the same as `attention`. The keys of each head and row are split between at most 32
 * workgroups (Flash-Decoding, Dao et al. 2023), P setting the size of a split; their results are merged in order. Two
 * dispatches. Works for streams of any length, but reads the cache once for every row.
 */
export function attentionStep(
  host: KernelHost,
  shape: AttentionShape,
  buffers: AttentionStepBuffers,
): Dispatch[] {
  const { run, schedule, qkv, keys, values, partials, out } = buffers;
  const { heads, headSize } = shape;
  const splits = splitsOf(shape).count;
  const overrides = { ...attentionOverrides(shape), SPLITS: splits };
  return [
    dispatch(
      host,
      kernel(shape),
      overrides,
      [run, schedule, qkv, keys, values, partials],
      ({ rows }) => [heads * splits, rows],
      attentionWork(shape),
    ),
    dispatch(host, merge, overrides, [run, schedule, partials, out], ({ rows }) => [
      ceilDivide(heads * headSize, 64),
      rows,
    ]),
  ];
}
