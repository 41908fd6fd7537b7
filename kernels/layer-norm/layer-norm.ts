import { type Dispatch, dispatch, type KernelHost } from "../kernel.ts";
import reduce from "../lib/reduce.wgsl";
import statistics from "../lib/statistics.wgsl";
import source from "./layer-norm.wgsl";

const kernel = { name: "layer-norm", code: [reduce, statistics, source].join("\n") };

export interface LayerNormBuffers {
  /** `[rows, size]`. */
  readonly h: GPUBuffer;
  /** `[2, size]`: weight, bias. */
  readonly norm: GPUBuffer;
  /** `[rows, outStride]`, the first `size` of each row written. */
  readonly out: GPUBuffer;
}

/** LayerNorm (Ba et al. 2016) of each row, eps 1e-5. */
export function layerNorm(
  host: KernelHost,
  size: number,
  buffers: LayerNormBuffers,
  outStride = size,
): Dispatch {
  return dispatch(
    host,
    kernel,
    { D: size, OUT_STRIDE: outStride },
    [buffers.h, buffers.norm, buffers.out],
    ({ rows }) => [rows, 1],
  );
}
