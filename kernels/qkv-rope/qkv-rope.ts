import type { AttentionShape } from "../attention/attention.ts";
import { ceilDivide, type Dispatch, dispatch, type KernelHost, type PassBuffers } from "../kernel.ts";
import { type Norm, normOverrides } from "../layer-norm/layer-norm.ts";
import oneInput from "../lib/one-input.wgsl";
import reduce from "../lib/reduce.wgsl";
import run from "../lib/run.wgsl";
import sealed from "../lib/sealed.wgsl";
import statistics from "../lib/statistics.wgsl";
import { bindingsOf, type Matrix } from "../matrix.ts";
import { productKernel, productKernels, productWork, rowsFor, rowsThatFit } from "../products.ts";
import source from "./qkv-rope.wgsl";

const kernels = productKernels("qkv-rope", run, reduce, sealed, statistics, oneInput, source);

export interface QkvRopeBuffers extends PassBuffers {
  /** `[P, R/2, 2]`: cosine and sine of each position and frequency; any 8 bytes where R is 0. */
  readonly angles: GPUBuffer;
  /** `[rows, D]`. */
  readonly h: GPUBuffer;
  /** `[2D]`: the norm's weight and bias; then `[(H + 2 KV) · headSize]`: b, if there is one. */
  readonly vectors: GPUBuffer;
  /** `[(H + 2 KV) · headSize, D]`: heads of q, of k, of v. */
  readonly weight: Matrix;
  /** `[rows, (H + 2 KV) · headSize]`: q is written; k and v are left as they are. */
  readonly qkv: GPUBuffer;
  /** `[slots, P, KV, headSize]`, written at each row's slot and position. */
  readonly keys: GPUBuffer;
  /** `[slots, P, KV, headSize]`, written in the same way. */
  readonly values: GPUBuffer;
}

/** Whether {@link qkvRope} can multiply by a matrix: its rows fit a workgroup, and one binding covers it. */
export const qkvRopeFits = (host: KernelHost, weight: Matrix): boolean =>
  rowsThatFit(host, weight.columns) >= 2 && bindingsOf(host, weight).length === 1;

/**
 * The norm, the product and `rope` of a decode step in one dispatch, bit for bit the same as `linearRow` and then `rope`. A
 * row whose position is P or more leaves the cache alone.
 * @param norm its eps and kind; its weights are in `vectors`
 * @param rowsPerWorkgroup rows of W that a workgroup takes: even, at least 2, at most `rowsThatFit`
 */
export function qkvRope(
  host: KernelHost,
  shape: AttentionShape,
  { norm, biased }: { readonly norm: Norm; readonly biased: boolean },
  buffers: QkvRopeBuffers,
  rowsPerWorkgroup = rowsFor(host, buffers.weight),
): Dispatch {
  const { weight } = buffers;
  const { heads, kvHeads, headSize, rotary, positions } = shape;
  const { kernel, overrides } = productKernel(host, kernels, weight, {
    columns: weight.columns,
    count: rowsPerWorkgroup,
  });
  const pairs = (heads + 2 * kvHeads) * ceilDivide(headSize, 2);
  return dispatch(
    host,
    kernel,
    {
      K: weight.columns,
      BIASED: biased,
      HEADS: heads,
      KV_HEADS: kvHeads,
      SIZE: headSize,
      HALF: rotary / 2,
      POSITIONS: positions,
      ...overrides,
      ...normOverrides(norm),
    },
    [
      buffers.run,
      buffers.schedule,
      buffers.angles,
      buffers.h,
      buffers.vectors,
      weight.buffer,
      buffers.qkv,
      buffers.keys,
      buffers.values,
    ],
    ({ rows }) => [ceilDivide(2 * pairs, rowsPerWorkgroup), rows],
    productWork(weight.rows, weight.columns),
  );
}
