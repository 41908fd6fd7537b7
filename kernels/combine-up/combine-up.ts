import {
  ceilDivide,
  type Dispatch,
  dispatch,
  type KernelHost,
  memoryOverrides,
  type StateShape,
} from "../kernel.ts";
import activation from "../lib/activation.wgsl";
import block from "../lib/block.wgsl";
import oneInput from "../lib/one-input.wgsl";
import reduce from "../lib/reduce.wgsl";
import run from "../lib/run.wgsl";
import sealed from "../lib/sealed.wgsl";
import stateLayout from "../lib/state.wgsl";
import statistics from "../lib/statistics.wgsl";
import { type Matrix, slicesOf } from "../matrix.ts";
import { productKernel, productKernels, productWork, rowsFor } from "../products.ts";
import source from "./combine-up.wgsl";

const kernels = productKernels(
  "combine-up",
  run,
  block,
  stateLayout,
  reduce,
  sealed,
  statistics,
  activation,
  oneInput,
  source,
);

export interface CombineUpBuffers {
  readonly run: GPUBuffer;
  readonly block: GPUBuffer;
  /** `[rows, 2, D]`: what `memoryCombine` has left in the place of x. */
  readonly mixed: GPUBuffer;
  /** `[rows, 2, D]`: m, z. */
  readonly memory: GPUBuffer;
  /** `[rows, D]`. */
  readonly h: GPUBuffer;
  /** `[4, D]`: weight and bias of LN2 and of LN3; then `[2M]`: b. */
  readonly vectors: GPUBuffer;
  /** `[2M, D]`, a unit's two halves side by side. */
  readonly weight: Matrix;
  /** Written: each stream's m and z. */
  readonly state: GPUBuffer;
  /** `[rows, D]`, written: h'. Not the buffer `h`, which all workgroups read. */
  readonly after: GPUBuffer;
  /** `[rows, M]`, written. */
  readonly inner: GPUBuffer;
}

/** Bytes of workgroup storage besides the row, the input and the partial sums: a norm's partial sums. */
const SUMS = 4 * (64 + 8);

/** Whether a workgroup has room for what {@link combineUp} keeps there. */
export const combineUpFits = (host: KernelHost, size: number): boolean =>
  SUMS + 4 * (size + slicesOf(size) * (32 + host.rowsPerWorkgroup)) <=
  host.device.limits.maxComputeWorkgroupStorageSize;

/**
 * The second half of `combine`, LN3 and the MLP's gated product in one dispatch, for one token of each stream: `h' = h +
 * LN2(s)` and `inner = GLU(W LN3(h') + b)`. With `memoryCombine`, bit for bit the same as `memoryStep`, `combine` and
 * `linearRow`.
 * @param rowsPerWorkgroup rows of W that a workgroup takes: even, at least 2
 */
export function combineUp(
  host: KernelHost,
  size: number,
  state: StateShape,
  buffers: CombineUpBuffers,
  rowsPerWorkgroup = rowsFor(host, buffers.weight),
): Dispatch {
  const { weight } = buffers;
  const { kernel, overrides } = productKernel(host, kernels, weight, {
    columns: size,
    count: rowsPerWorkgroup,
  });
  return dispatch(
    host,
    kernel,
    { D: size, OUTPUTS: weight.rows, ...overrides, ...memoryOverrides(state) },
    [
      buffers.run,
      buffers.block,
      buffers.mixed,
      buffers.memory,
      buffers.h,
      buffers.vectors,
      weight.buffer,
      buffers.state,
      buffers.after,
      buffers.inner,
    ],
    ({ rows }) => [ceilDivide(weight.rows, rowsPerWorkgroup), rows],
    productWork(weight.rows, size),
  );
}
