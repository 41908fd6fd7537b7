import { ceilDivide, type Dispatch, dispatch, type KernelHost } from "../kernel.ts";
import { kernelPerFormat, type Matrix, slicesOf } from "../matrix.ts";
import source from "./pack-weight.wgsl";

const kernels = kernelPerFormat("pack-weight", source);

export interface PackWeight {
  /** f32 `[rows, columns]`, as read. */
  readonly matrix: GPUBuffer;
  readonly rows: number;
  readonly weight: Matrix;
  /** First of the rows written. */
  readonly firstRow?: number;
  /** Lays row `j` of the first half and of the second side by side. */
  readonly gated?: boolean;
}

/** Converts a matrix into the padded rows and the format that the products read, on the GPU. */
export function packWeight(host: KernelHost, p: PackWeight): Dispatch {
  const k4 = slicesOf(p.weight.columns) * 8;
  return dispatch(
    host,
    kernels[p.weight.format],
    {
      N: p.rows,
      K: p.weight.columns,
      K4: k4,
      GATED: p.gated ?? false,
      FIRST_ROW: p.firstRow ?? 0,
    },
    [p.matrix, p.weight.buffer],
    () => [Math.min(ceilDivide(p.rows * k4, 64), 65535), 1],
  );
}
