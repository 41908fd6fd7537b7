import type { Dispatch, KernelHost, PassBuffers, StateShape } from "../kernel.ts";
import type { Matrix } from "../matrix.ts";
import { memoryDispatch, memoryKernels } from "./memory-products.ts";
import source from "./memory-step.wgsl";

const kernels = memoryKernels("memory-step", source);

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
  columns?: number,
): Dispatch {
  return memoryDispatch(host, kernels, { size, state, gated, weight: buffers.weight, columns }, {}, [
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
  ]);
}
