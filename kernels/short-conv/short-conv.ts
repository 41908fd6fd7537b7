import {
  ceilDivide,
  type Dispatch,
  dispatch,
  Kernel,
  type KernelHost,
  type PassBuffers,
  type StateShape,
  stateOverrides,
} from "../kernel.ts";
import block from "../lib/block.wgsl";
import run from "../lib/run.wgsl";
import stateLayout from "../lib/state.wgsl";
import source from "./short-conv.wgsl";

const kernel = new Kernel("short-conv", run, block, stateLayout, source);

export interface ShortConvBuffers extends PassBuffers {
  readonly block: GPUBuffer;
  /** `[rows, 2, D]`: x first. */
  readonly mixed: GPUBuffer;
  /** Its tails are read: `[slots, layers, k − 1 …, D]`, oldest first. */
  readonly state: GPUBuffer;
  /** `[k + 1, D]`: taps oldest first, then bias. */
  readonly conv: GPUBuffer;
  /** `[rows, D]`, written: c = x + conv(x). */
  readonly out: GPUBuffer;
}

/** Causal depthwise convolution with residual (SPEC §1), `taps` ≥ 0. The new tail is stored later, by `combine`. */
export function shortConv(
  host: KernelHost,
  size: number,
  taps: number,
  state: StateShape,
  buffers: ShortConvBuffers,
): Dispatch {
  return dispatch(
    host,
    kernel,
    { D: size, TAPS: taps, ...stateOverrides(state) },
    [buffers.run, buffers.block, buffers.mixed, buffers.state, buffers.conv, buffers.out],
    ({ rows }) => [ceilDivide(size, 64), rows],
  );
}
