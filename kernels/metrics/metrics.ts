import { type Dispatch, dispatch, Kernel, type KernelHost, type PassBuffers } from "../kernel.ts";
import block from "../lib/block.wgsl";
import reduce from "../lib/reduce.wgsl";
import run from "../lib/run.wgsl";
import source from "./metrics.wgsl";

const kernel = new Kernel("metrics", run, block, reduce, source);

export interface MetricsBuffers extends PassBuffers {
  readonly block: GPUBuffer;
  /** `[rows, 2, D]`: m, z. */
  readonly memory: GPUBuffer;
  /** `[rows, 2, D]`: the PVM's gate first. */
  readonly gates: GPUBuffer;
  /** `[cells, cells, 2]`: see {@link latticeTable}. */
  readonly lattice: GPUBuffer;
  /** `[steps, rows, layers, 4]`, written: R, lattice coherence, the PVM gate's mean, mean |m|. */
  readonly metrics: GPUBuffer;
}

export interface Lattice {
  readonly grid: readonly [number, number];
  readonly components: number;
}

/** SPEC §4's metrics of one block after each row's token. Those of a lattice or a PVM are 0 where the block has none. */
export function metrics(
  host: KernelHost,
  size: number,
  layers: number,
  pvm: boolean,
  lattice: Lattice | undefined,
  buffers: MetricsBuffers,
): Dispatch {
  return dispatch(
    host,
    kernel,
    {
      D: size,
      LAYERS: layers,
      CELLS: lattice ? lattice.grid[0] * lattice.grid[1] : 1,
      COMPONENTS: lattice?.components ?? 0,
      PVM: pvm,
    },
    [
      buffers.run,
      buffers.block,
      buffers.schedule,
      buffers.memory,
      buffers.gates,
      buffers.lattice,
      buffers.metrics,
    ],
    ({ rows }) => [rows, 1],
  );
}

/** Factors of the inverse 2-D DFT, `[cells, cells, 2]`: `e^{2πi(px/Gx + qy/Gy)}`, cell `x·Gy + y` by mode `p·Gy + q`. */
export function latticeTable([gx, gy]: readonly [number, number]): Float32Array {
  const cells = gx * gy;
  const table = new Float32Array(2 * cells * cells);
  for (let cell = 0; cell < cells; cell++) {
    for (let mode = 0; mode < cells; mode++) {
      const turns = (Math.floor(mode / gy) * Math.floor(cell / gy)) / gx + ((mode % gy) * (cell % gy)) / gy;
      table[2 * (cell * cells + mode)] = Math.cos(2 * Math.PI * turns);
      table[2 * (cell * cells + mode) + 1] = Math.sin(2 * Math.PI * turns);
    }
  }
  return table;
}
