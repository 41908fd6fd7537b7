import type { Dispatch, Kernel, KernelHost } from "./kernel.ts";
import invocation from "./lib/invocation.wgsl";
import invocationLanes from "./lib/invocation-lanes.wgsl";
import product from "./lib/product.wgsl";
import products from "./lib/products.wgsl";
import ahead from "./lib/products-ahead.wgsl";
import atOnce from "./lib/products-at-once.wgsl";
import inLanes from "./lib/products-in-lanes.wgsl";
import inSlices from "./lib/products-in-slices.wgsl";
import sliceF16 from "./lib/slice-f16.wgsl";
import sliceF32 from "./lib/slice-f32.wgsl";
import sliceQ4 from "./lib/slice-q4.wgsl";
import sliceQ8 from "./lib/slice-q8.wgsl";
import {
  kernelFor,
  type Matrix,
  type MatrixKernels,
  matrixKernels,
  perFormat,
  readingKernels,
  slicesOf,
  type WeightFormat,
} from "./matrix.ts";
import { unroll } from "./unroll.ts";

/**
 * A kernel whose workgroups multiply by ROWS_PER_WORKGROUP rows of W, in its three forms: lanes that share loads, each taking
 * whole products; and threads that take slices of products, one at a time from rows, or loaded ahead from interleaved rows.
 */
export interface ProductKernels {
  readonly inLanes: MatrixKernels;
  readonly inSlices: Readonly<Record<WeightFormat, Kernel>>;
  readonly ahead: Readonly<Record<WeightFormat, Kernel>>;
}

/** Slices that a thread loads before it multiplies: at least four words of 16 bytes, at most eight, and each slice's scale. */
const slicesAtOnce = { f32: 1, f16: 2, q8: 4, q4: 4 } as const satisfies Record<WeightFormat, number>;

const aheadParts = perFormat({ f32: sliceF32, f16: sliceF16, q8: sliceQ8, q4: sliceQ4 }, (slice, format) => {
  const AT_ONCE = slicesAtOnce[format];
  const text = `const AT_ONCE = ${AT_ONCE}u;\n${slice}${ahead}`;
  // The numbers of words and sums, which the text itself names.
  return unroll(text, { AT_ONCE, 4: 4, 8: 8 });
});

/** A product of fewer rows waits for its weights, and takes as long as one of this many. */
const LEAST_WORK_ROWS = 16;

/** The work of a product of each row of a pass with `outputs` rows of a matrix. */
export const productWork =
  (outputs: number, columns: number): Dispatch["work"] =>
  ({ rows }) =>
    2 * outputs * columns * Math.max(rows, LEAST_WORK_ROWS);

/** Kernels made of `lib/products*.wgsl` and then `parts`. */
export const productKernels = (name: string, ...parts: string[]): ProductKernels => ({
  inLanes: matrixKernels(`${name}-lanes`, invocationLanes, product, products, atOnce, inLanes, ...parts),
  inSlices: readingKernels(name, "rows", invocation, product, products, atOnce, inSlices, ...parts),
  ahead: readingKernels(`${name}-ahead`, "interleaved", invocation, product, products, aheadParts, ...parts),
});

/**
 * Whether each lane takes whole products. 64 products that are taken at once must have the same input, so `together` must
 * be a multiple of 64.
 */
const takesLanes = ({ sharedLoadLanes }: KernelHost, together: number): boolean =>
  sharedLoadLanes > 0 && together % 64 === 0;

/**
 * The kernel for a host and a matrix, and its overrides.
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
  if (takesLanes(host, together)) {
    return {
      kernel: kernelFor(kernels.inLanes, matrix),
      overrides: { ...overrides, SHARED_LOAD_LANES: host.sharedLoadLanes },
    };
  }
  const { format, layout } = matrix;
  if (layout === "rows") return { kernel: kernels.inSlices[format], overrides };
  const THREADS = threadsFor(host, slicesOf(columns) * count, format);
  return { kernel: kernels.ahead[format], overrides: { ...overrides, THREADS } };
}

/** Threads of a workgroup that loads ahead, for so many slices: as many as have {@link slicesAtOnce} to load. */
function threadsFor({ device }: KernelHost, slices: number, format: WeightFormat): number {
  const most = Math.min(256, device.limits.maxComputeInvocationsPerWorkgroup);
  let threads = 64;
  while (2 * threads <= most && 2 * threads * slicesAtOnce[format] <= slices) threads *= 2;
  return threads;
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

/** Workgroups that keep a large GPU busy. */
const BUSY = 256;

/**
 * Rows of W for a workgroup: at most {@link rowsThatFit}. Where W is interleaved, fewer if W has too few rows to keep a large
 * GPU busy, as long as each of 64 threads has a slice.
 * @param sets matrices of that size that a workgroup multiplies by, `rowsFor` rows of each
 */
export function rowsFor(host: KernelHost, matrix: Matrix, rows = matrix.rows, sets = 1): number {
  const fit = rowsThatFit(host, matrix.columns);
  const most = sets === 1 ? fit : Math.max(1, Math.floor(fit / sets));
  if (host.sharedLoadLanes > 0 || matrix.layout === "rows") return most;
  const slices = sets * slicesOf(matrix.columns);
  let count = 2;
  while (2 * count <= most && (count * slices < 64 || rows >= 2 * count * BUSY)) count *= 2;
  return Math.min(count, most);
}

/** Columns of each of `sets` matrices `[size, …]`, one below the other in W, that a workgroup of memory-step takes. */
export function columnsFor(host: KernelHost, matrix: Matrix, size: number, sets: number): number {
  if (host.sharedLoadLanes > 0) return 64;
  return matrix.layout === "rows" ? host.rowsPerWorkgroup / 2 : rowsFor(host, matrix, size, sets);
}
