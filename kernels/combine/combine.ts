import {
  type Dispatch,
  dispatch,
  Kernel,
  type KernelHost,
  memoryOverrides,
  type PassBuffers,
  type StateShape,
} from "../kernel.ts";
import block from "../lib/block.wgsl";
import reduce from "../lib/reduce.wgsl";
import run from "../lib/run.wgsl";
import sealed from "../lib/sealed.wgsl";
import stateLayout from "../lib/state.wgsl";
import statistics from "../lib/statistics.wgsl";
import source from "./combine.wgsl";

const kernel = new Kernel("combine", run, block, stateLayout, reduce, sealed, statistics, source);

export interface CombineBuffers extends PassBuffers {
  readonly block: GPUBuffer;
  /** `[rows, 2, D]`: x, u. */
  readonly mixed: GPUBuffer;
  /** `[rows, 2, D]`: the PVM's and the PLM's gate. */
  readonly gates: GPUBuffer;
  /** `[rows, 2, D]`: m, z. */
  readonly memory: GPUBuffer;
  /** `[rows, D]`: W_out z + b_out. */
  readonly plm: GPUBuffer;
  /** `[5, D]`: LN2 weight, bias; the drive's cosine column, sine column, bias. */
  readonly weights: GPUBuffer;
  /** Written: each stream's conv tail, m and z after its last row. */
  readonly state: GPUBuffer;
  /** `[rows, D]`, updated. */
  readonly h: GPUBuffer;
}

/** `h += LN2(u + g_v ⊙ PVM + g_l ⊙ PLM + γ·ramp·p)` (SPEC §1). It also stores the new states of the streams. */
export function combine(
  host: KernelHost,
  size: number,
  layers: number,
  state: StateShape,
  buffers: CombineBuffers,
): Dispatch {
  return dispatch(
    host,
    kernel,
    { D: size, LAYERS: layers, ...memoryOverrides(state) },
    [
      buffers.run,
      buffers.block,
      buffers.schedule,
      buffers.mixed,
      buffers.gates,
      buffers.memory,
      buffers.plm,
      buffers.weights,
      buffers.state,
      buffers.h,
    ],
    ({ rows }) => [rows, 1],
  );
}
