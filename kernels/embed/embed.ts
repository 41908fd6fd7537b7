import { type Dispatch, dispatch, type KernelHost, type PassBuffers } from "../kernel.ts";
import run from "../lib/run.wgsl";
import { bindingsOf, kernelFor, type Matrix, matrixKernels, slicesOf } from "../matrix.ts";
import source from "./embed.wgsl";

const kernels = matrixKernels("embed", run, source);

export interface EmbedBuffers extends PassBuffers {
  /** `[rows]` u32, each below the table's rows. */
  readonly tokens: GPUBuffer;
  /** `[slots, vocabulary]` u32: how often each token has been fed to each stream. */
  readonly counts: GPUBuffer;
  /** `[rows, D]`, written. */
  readonly h: GPUBuffer;
}

/**
 * `h = E[tokens]`. Also counts the tokens, and advances the schedule's step by one (the host sets it to −1 before a run).
 */
export function embed(host: KernelHost, table: Matrix, buffers: EmbedBuffers): Dispatch[] {
  return bindingsOf(host, table).map(({ first, rows, binding }) =>
    dispatch(
      host,
      kernelFor(kernels, table),
      {
        D: table.columns,
        K4: slicesOf(table.columns) * 8,
        VOCAB: table.rows,
        FIRST: first,
        ROWS: rows,
      },
      [buffers.run, buffers.tokens, binding, buffers.counts, buffers.schedule, buffers.h],
      (run) => [run.rows, 1],
    ),
  );
}
