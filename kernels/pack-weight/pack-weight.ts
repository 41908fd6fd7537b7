import { ceilDivide, type Dispatch, dispatch, type KernelHost } from "../kernel.ts";
import float16 from "../lib/float16.wgsl";
import reduce from "../lib/reduce.wgsl";
import {
  bindingsOf,
  kernelFor,
  type Matrix,
  type MatrixBinding,
  matrixKernels,
  slicesOf,
  writingKernels,
} from "../matrix.ts";
import asRead from "./as-read.wgsl";
import errorSource from "./pack-error.wgsl";
import packF16 from "./pack-f16.wgsl";
import packF32 from "./pack-f32.wgsl";
import packQ4 from "./pack-q4.wgsl";
import packQ8 from "./pack-q8.wgsl";
import source from "./pack-weight.wgsl";
import quantize from "./quantize.wgsl";

const packers = writingKernels(
  "pack-weight",
  asRead,
  { f32: packF32, f16: float16 + packF16, q8: quantize + packQ8, q4: quantize + packQ4 },
  source,
);
const errors = matrixKernels("pack-error", asRead, reduce, errorSource);

/** Vec4s that a thread packs: `UNIT`. */
const units = { f32: 1, f16: 2, q8: 8, q4: 8 } as const;

export interface PackWeight {
  /** f32 `[rows, columns]`, as read. */
  readonly matrix: GPUBuffer;
  readonly rows: number;
  readonly weight: Matrix;
  /** `[rows]` u32: the row of `weight` that each row becomes; without it `firstRow` and those after it. */
  readonly places?: GPUBuffer | undefined;
  readonly firstRow?: number;
}

/** The dispatches that do something with each part of `weight` that the device binds at once. */
function forParts(
  host: KernelHost,
  { matrix, rows, weight, places, firstRow = 0 }: PackWeight,
  make: (buffers: (GPUBuffer | GPUBufferBinding)[]) => Dispatch,
): Dispatch[] {
  const uniform = (part: MatrixBinding) =>
    // `Layout` of `as-read.wgsl`.
    host.uniform(
      "shape of a matrix",
      Uint32Array.of(
        rows,
        weight.columns,
        slicesOf(weight.columns),
        places ? 1 : 0,
        firstRow,
        part.first,
        part.rows,
        part.first > 0 ? 1 : 0,
      ),
    );
  return bindingsOf(host, weight).map((part) =>
    make([uniform(part), matrix, places ?? matrix, part.binding]),
  );
}

/**
 * Converts a matrix on the GPU into the layout and the format that products read: one dispatch for each part that the device
 * binds at once. What is quantized must be finite.
 */
export function packWeight(host: KernelHost, p: PackWeight): Dispatch[] {
  const { weight, rows } = p;
  const threads = (rows * slicesOf(weight.columns) * 8) / units[weight.format];
  const groups = Math.min(ceilDivide(threads, 64), 65535);
  return forParts(host, p, (buffers) =>
    dispatch(host, kernelFor(packers, weight), {}, buffers, () => [groups, 1]),
  );
}

const ERROR_WORKGROUPS = 256;

/** Size in bytes of the sums of {@link packError}. */
export const PACK_ERROR_BYTES = ERROR_WORKGROUPS * 8;

/**
 * Call it after {@link packWeight} with the same `p`: it writes the sums for {@link relativePackError} into `sums`,
 * {@link PACK_ERROR_BYTES} long.
 */
export const packError = (host: KernelHost, p: PackWeight, sums: GPUBuffer): Dispatch[] =>
  forParts(host, p, (buffers) =>
    dispatch(host, kernelFor(errors, p.weight), {}, [...buffers, sums], () => [ERROR_WORKGROUPS, 1]),
  );

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
