import { ceilDivide, type Dispatch, dispatch, type KernelHost } from "../kernel.ts";
import float16 from "../lib/float16.wgsl";
import reduce from "../lib/reduce.wgsl";
import { kernelPerFormat, type Matrix, slicesOf } from "../matrix.ts";
import asRead from "./as-read.wgsl";
import errorSource from "./pack-error.wgsl";
import packF16 from "./pack-f16.wgsl";
import packF32 from "./pack-f32.wgsl";
import packQ4 from "./pack-q4.wgsl";
import packQ8 from "./pack-q8.wgsl";
import source from "./pack-weight.wgsl";
import quantize from "./quantize.wgsl";

const packers = kernelPerFormat(
  "pack-weight",
  asRead,
  { f32: packF32, f16: float16 + packF16, q8: quantize + packQ8, q4: quantize + packQ4 },
  source,
);
const errors = kernelPerFormat("pack-error", asRead, reduce, errorSource);

/** Vec4s that a thread packs: `UNIT`. */
const units = { f32: 1, f16: 2, q8: 8, q4: 8 } as const;

export interface PackWeight {
  /** f32 `[rows, columns]`, as read. */
  readonly matrix: GPUBuffer;
  readonly rows: number;
  readonly weight: Matrix;
  /** The first row that is written. */
  readonly firstRow?: number;
  /** Puts row `j` of the first half and row `j` of the second side by side. */
  readonly gated?: boolean;
}

/** `Layout` of `as-read.wgsl`. */
const shapeOf = (host: KernelHost, { rows, weight, gated = false, firstRow = 0 }: PackWeight): GPUBuffer =>
  host.uniform(
    "shape of a matrix",
    Uint32Array.of(rows, weight.columns, slicesOf(weight.columns) * 8, Number(gated), firstRow),
  );

/**
 * Converts a matrix on the GPU into the padded rows and the format that products read. What is quantized must be finite.
 */
export function packWeight(host: KernelHost, p: PackWeight): Dispatch {
  const { weight, rows, matrix } = p;
  const threads = (rows * slicesOf(weight.columns) * 8) / units[weight.format];
  return dispatch(host, packers[weight.format], {}, [shapeOf(host, p), matrix, weight.buffer], () => [
    Math.min(ceilDivide(threads, 64), 65535),
    1,
  ]);
}

const ERROR_WORKGROUPS = 256;

/** Size in bytes of the sums of {@link packError}. */
export const PACK_ERROR_BYTES = ERROR_WORKGROUPS * 8;

/**
 * Call it after {@link packWeight} with the same `p`: it writes the sums for {@link relativePackError} into `sums`,
 * {@link PACK_ERROR_BYTES} long.
 */
export function packError(host: KernelHost, p: PackWeight, sums: GPUBuffer): Dispatch {
  const buffers = [shapeOf(host, p), p.matrix, p.weight.buffer, sums];
  return dispatch(host, errors[p.weight.format], {}, buffers, () => [ERROR_WORKGROUPS, 1]);
}

/**
 * ‖W − Q(W)‖ / ‖W‖ (Frobenius norms) from the sums of {@link packError}; for a matrix in several parts, from the sums of
 * all parts. 0 for a matrix of zeros.
 */
export function relativePackError(sums: ArrayLike<number>): number {
  let error = 0;
  let size = 0;
  for (let i = 0; i < sums.length; i += 2) {
    error += sums[i] ?? 0;
    size += sums[i + 1] ?? 0;
  }
  return size > 0 ? Math.sqrt(error / size) : 0;
}
