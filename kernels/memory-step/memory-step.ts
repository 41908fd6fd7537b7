import {
  ceilDivide,
  type Dispatch,
  dispatch,
  type KernelHost,
  memoryOverrides,
  type PassBuffers,
  type StateShape,
} from "../kernel.ts";
import activation from "../lib/activation.wgsl";
import block from "../lib/block.wgsl";
import memory from "../lib/memory.wgsl";
import pairs from "../lib/pairs.wgsl";
import run from "../lib/run.wgsl";
import sealed from "../lib/sealed.wgsl";
import stateLayout from "../lib/state.wgsl";
import { type Matrix, slicesOf } from "../matrix.ts";
import { columnsFor, productKernel, productKernels, productWork } from "../products.ts";
import source from "./memory-step.wgsl";

const kernels = productKernels(
  "memory-step",
  run,
  block,
  stateLayout,
  memory,
  pairs,
  sealed,
  activation,
  source,
);

export interface MemoryStepBuffers extends PassBuffers {
  readonly block: GPUBuffer;
  /** `[rows, 2, D]`: u second. */
  readonly mixed: GPUBuffer;
  /** `[⌈D/2⌉, 8]`: `decayTable` of memory-scan. */
  readonly decay: GPUBuffer;
  /** Read only; `combine` stores the new state. */
  readonly state: GPUBuffer;
  /** `[3D, D]`: PVM gate, PLM gate, PLM out; only the first `D` rows without a PLM. */
  readonly weight: Matrix;
  /** `[3D]`, in the same order. */
  readonly bias: GPUBuffer;
  /** `[rows, 2, D]`, written: the PVM's and the PLM's gate. */
  readonly gates: GPUBuffer;
  /** `[rows, 2, D]`, written: m, z. */
  readonly memory: GPUBuffer;
  /** `[rows, D]`, written where there is a PLM: W_out z + b_out. */
  readonly plm: GPUBuffer;
}

/**
 * One decode step of both memories and of the products that read them: `memoryScan` and two calls of `linearTiled` in one
 * dispatch.
 * @param gated whether the gates have a matrix; otherwise they are the logistic of their bias
 */
export function memoryStep(
  host: KernelHost,
  size: number,
  state: StateShape,
  gated: boolean,
  buffers: MemoryStepBuffers,
  columns = columnsFor(host, buffers.weight, size, state.plm ? 3 : 1),
): Dispatch {
  const { kernel, overrides } = productKernel(host, kernels, buffers.weight, {
    columns: size,
    count: columns * (state.plm ? 3 : 1),
    together: columns,
  });
  return dispatch(
    host,
    kernel,
    {
      D: size,
      PAIRS: ceilDivide(size, 2),
      COLUMNS: columns,
      ...overrides,
      GATE_SLICES: gated ? slicesOf(size) : 0,
      ...memoryOverrides(state),
    },
    [
      buffers.run,
      buffers.block,
      buffers.mixed,
      buffers.decay,
      buffers.state,
      buffers.weight.buffer,
      buffers.bias,
      buffers.gates,
      buffers.memory,
      buffers.plm,
    ],
    ({ rows }) => [ceilDivide(size, columns), rows],
    productWork(buffers.weight.rows, size),
  );
}
