import { type Dispatch, dispatch, Kernel, type KernelHost } from "../kernel.ts";
import reduce from "../lib/reduce.wgsl";
import sealed from "../lib/sealed.wgsl";
import statistics from "../lib/statistics.wgsl";
import source from "./layer-norm.wgsl";

const kernel = new Kernel("layer-norm", reduce, sealed, statistics, source);

/** A norm's weights and kind; a plain buffer stands for a LayerNorm with eps 1e-5. */
export interface Norm {
  /** `[2, size]`: weight, bias; an RMSNorm has zeros as bias. */
  readonly buffer: GPUBuffer;
  /** Added to the variance; 1e-5 by default. */
  readonly eps?: number;
  /** RMSNorm (Zhang and Sennrich 2019): the mean counts as zero. */
  readonly rms?: boolean;
}

/** The buffer of a norm. */
export const normBuffer = (norm: GPUBuffer | Norm): GPUBuffer => ("buffer" in norm ? norm.buffer : norm);

/** The overrides of `lib/statistics.wgsl` for a norm. */
export const normOverrides = (norm: GPUBuffer | Norm) => {
  const { eps = 1e-5, rms = false } = "buffer" in norm ? norm : {};
  return { EPS: eps, RMS: rms };
};

export interface LayerNormBuffers {
  /** `[rows, size]`. */
  readonly h: GPUBuffer;
  /** `[2, size]`: weight, bias. */
  readonly norm: GPUBuffer | Norm;
  /** `[rows, outStride]`; the first `size` values of each row are written. */
  readonly out: GPUBuffer;
}

/** LayerNorm (Ba et al. 2016) or RMSNorm of each row. */
export function layerNorm(
  host: KernelHost,
  size: number,
  buffers: LayerNormBuffers,
  outStride = size,
): Dispatch {
  return dispatch(
    host,
    kernel,
    { D: size, OUT_STRIDE: outStride, ...normOverrides(buffers.norm) },
    [buffers.h, normBuffer(buffers.norm), buffers.out],
    ({ rows }) => [rows, 1],
  );
}
