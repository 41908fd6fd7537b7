import { type Dispatch, dispatch, Kernel, type KernelHost } from "../kernel.ts";
import code from "./scale-rows.wgsl";

const kernel = new Kernel("scale-rows", code);

export interface ScaleRowsBuffers {
  /** `[rows, stride]`; the first `size` values of each row are used. */
  readonly x: GPUBuffer;
  /** `[rows]`. */
  readonly scales: GPUBuffer;
  /** `[rows, size]`, written. */
  readonly out: GPUBuffer;
}

/** Each row times its own factor. */
export function scaleRows(
  host: KernelHost,
  size: number,
  buffers: ScaleRowsBuffers,
  stride = size,
): Dispatch {
  return dispatch(
    host,
    kernel,
    { D: size, STRIDE: stride },
    [buffers.x, buffers.scales, buffers.out],
    ({ rows }) => [rows, 1],
  );
}
