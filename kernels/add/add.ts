import { type Dispatch, dispatch, Kernel, type KernelHost } from "../kernel.ts";
import code from "./add.wgsl";

const kernel = new Kernel("add", code);

export interface AddBuffers {
  /** `[rows, stride]`; the first `size` values of each row are used. */
  readonly x: GPUBuffer;
  /** `[rows, size]`, updated. */
  readonly h: GPUBuffer;
}

/** `h += x`. */
export function add(host: KernelHost, size: number, buffers: AddBuffers, stride = size): Dispatch {
  return dispatch(host, kernel, { D: size, STRIDE: stride }, [buffers.x, buffers.h], ({ rows }) => [rows, 1]);
}
