import {
  ceilDivide,
  type Dispatch,
  dispatch,
  type KernelHost,
  type PassBuffers,
  type StateShape,
  stateOverrides,
} from "../kernel.ts";
import activation from "../lib/activation.wgsl";
import block from "../lib/block.wgsl";
import oneInput from "../lib/one-input.wgsl";
import reduce from "../lib/reduce.wgsl";
import run from "../lib/run.wgsl";
import sealed from "../lib/sealed.wgsl";
import stateLayout from "../lib/state.wgsl";
import statistics from "../lib/statistics.wgsl";
import type { Matrix } from "../matrix.ts";
import { productKernel, productKernels, productWork, rowsFor } from "../products.ts";
import source from "./mixer-step.wgsl";

const kernels = productKernels(
  "mixer-step",
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

export interface MixerStepBuffers extends PassBuffers {
  readonly block: GPUBuffer;
  /** `[rows, D]`. */
  readonly h: GPUBuffer;
  readonly state: GPUBuffer;
  /** `[2, D]`: weight, bias of LN1. */
  readonly norm: GPUBuffer;
  /** `[k + 1, D]`: taps oldest first, then bias; of any size where k = 0. */
  readonly conv: GPUBuffer;
  /** `[2D, D]`, a unit's two halves side by side. */
  readonly weight: Matrix;
  /** `[2D]`, in the same order. */
  readonly bias: GPUBuffer;
  /** `[rows, 2, D]`, written: x, u. */
  readonly mixed: GPUBuffer;
}

/** One decode step of LN1, short conv and gated mixer: `layerNorm`, `shortConv` and `linearTiled` in one dispatch. */
export function mixerStep(
  host: KernelHost,
  size: number,
  taps: number,
  state: StateShape,
  buffers: MixerStepBuffers,
  rowsPerWorkgroup = rowsFor(host, buffers.weight),
): Dispatch {
  const { kernel, overrides } = productKernel(host, kernels, buffers.weight, {
    columns: size,
    count: rowsPerWorkgroup,
  });
  return dispatch(
    host,
    kernel,
    { D: size, TAPS: taps, ...overrides, ...stateOverrides(state) },
    [
      buffers.run,
      buffers.block,
      buffers.h,
      buffers.state,
      buffers.norm,
      buffers.conv,
      buffers.weight.buffer,
      buffers.bias,
      buffers.mixed,
    ],
    ({ rows }) => [ceilDivide(2 * size, rowsPerWorkgroup), rows],
    productWork(2 * size, size),
  );
}
