import type { Kernel, KernelHost } from "./kernel.ts";
import invocation from "./lib/invocation.wgsl";
import invocationLanes from "./lib/invocation-lanes.wgsl";
import product from "./lib/product.wgsl";
import products from "./lib/products.wgsl";
import inLanes from "./lib/products-in-lanes.wgsl";
import inSlices from "./lib/products-in-slices.wgsl";
import { kernelFor, type Matrix, type MatrixKernels, matrixKernels, slicesOf } from "./matrix.ts";

/** A kernel whose workgroups multiply by ROWS_PER_WORKGROUP rows of W, in its two forms. */
export interface ProductKernels {
  readonly inSlices: MatrixKernels;
  readonly inLanes: MatrixKernels;
}

/** Kernels made of `lib/products*.wgsl` and then `parts`. */
export const productKernels = (name: string, ...parts: string[]): ProductKernels => ({
  inSlices: matrixKernels(name, invocation, product, products, inSlices, ...parts),
  inLanes: matrixKernels(`${name}-lanes`, invocationLanes, product, products, inLanes, ...parts),
});

/**
 * Whether each lane takes whole products. 64 products that are taken at once must have the same input, so `together` must
 * be a multiple of 64.
 */
const takesLanes = ({ sharedLoadLanes }: KernelHost, together: number): boolean =>
  sharedLoadLanes > 0 && together % 64 === 0;

/**
 * The kernel for a host, and its overrides.
 * @param columns columns of W
 * @param count products of a workgroup
 * @param together how many of them are with neighbouring rows of W and the same input
 */
export function productKernel(
  host: KernelHost,
  kernels: ProductKernels,
  matrix: Matrix,
  { columns, count, together = count }: { columns: number; count: number; together?: number },
): { readonly kernel: Kernel; readonly overrides: Readonly<Record<string, number>> } {
  const overrides = { SLICES: slicesOf(columns), ROWS_PER_WORKGROUP: count };
  return takesLanes(host, together)
    ? {
        kernel: kernelFor(kernels.inLanes, matrix),
        overrides: { ...overrides, SHARED_LOAD_LANES: host.sharedLoadLanes },
      }
    : { kernel: kernelFor(kernels.inSlices, matrix), overrides };
}

/** Bytes of workgroup storage besides the input and the products: a norm's partial sums. */
const SUMS = 4 * (64 + 8);

/**
 * Rows of W, of `columns` each, for which a workgroup has room besides their input: even, at most the host's own number, 0
 * if none.
 */
export function rowsThatFit(host: KernelHost, columns: number): number {
  const slices = slicesOf(columns);
  const room = host.device.limits.maxComputeWorkgroupStorageSize - SUMS - slices * 128;
  if (takesLanes(host, host.rowsPerWorkgroup) && room >= 4 * host.rowsPerWorkgroup)
    return host.rowsPerWorkgroup;
  return Math.max(0, Math.min(host.rowsPerWorkgroup, 2 * Math.floor(room / (8 * slices))));
}
