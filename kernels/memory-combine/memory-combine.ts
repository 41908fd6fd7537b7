import type { Dispatch, KernelHost, PassBuffers, StateShape } from "../kernel.ts";
import { type Matrix, slicesOf } from "../matrix.ts";
import { memoryDispatch, memoryKernels } from "../memory-step/memory-products.ts";
import source from "./memory-combine.wgsl";

const kernels = memoryKernels("memory-combine", source);

export interface MemoryCombineBuffers extends PassBuffers {
  readonly block: GPUBuffer;
  /** `[rows, 2, D]`: x and u. x is replaced by `y + γ·ramp·p`. */
  readonly mixed: GPUBuffer;
  /** `[⌈D/2⌉, 8]`: `decayTable` of memory-scan. */
  readonly decay: GPUBuffer;
  /** The conv tail is moved on; m and z are only read. */
  readonly state: GPUBuffer;
  /** `[3D, D]`: PVM gate, PLM gate, PLM out; only the first `D` rows without a PLM. */
  readonly weight: Matrix;
  /** `[6, D]`: the biases of these; the drive's cosine column, sine column, bias. Without a PLM two of the biases are not read. */
  readonly vectors: GPUBuffer;
  /** `[rows, 2, D]`, written: the PVM's and the PLM's gate. */
  readonly gates: GPUBuffer;
  /** `[rows, 2, D]`, written: m, z. */
  readonly memory: GPUBuffer;
}

/** The most columns of each product that a workgroup takes. */
const mostColumns = (host: KernelHost): number => (host.sharedLoadLanes ? 64 : host.rowsPerWorkgroup / 2);

/** Whether a workgroup has room for what {@link memoryCombine} keeps there. */
export const memoryCombineFits = (host: KernelHost, size: number): boolean =>
  4 * (slicesOf(size) * (64 + 3 * mostColumns(host)) + size) <=
  host.device.limits.maxComputeWorkgroupStorageSize;

/**
 * `memoryStep` and the first half of `combine` in one dispatch, for one token of each stream: the sum that LN2 takes, in
 * the place of x. `combineUp` must follow: it stores the streams' new m and z.
 * @param gated whether the gates have a matrix; otherwise they are the logistic of their bias
 */
export function memoryCombine(
  host: KernelHost,
  size: number,
  layers: number,
  state: StateShape,
  gated: boolean,
  buffers: MemoryCombineBuffers,
  columns?: number,
): Dispatch {
  return memoryDispatch(
    host,
    kernels,
    { size, state, gated, weight: buffers.weight, columns },
    { LAYERS: layers },
    [
      buffers.run,
      buffers.block,
      buffers.schedule,
      buffers.mixed,
      buffers.decay,
      buffers.state,
      buffers.weight.buffer,
      buffers.vectors,
      buffers.gates,
      buffers.memory,
    ],
  );
}
