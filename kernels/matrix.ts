import { ceilDivide, type Kernel } from "./kernel.ts";
import float16 from "./lib/float16.wgsl";
import weightF16 from "./lib/weight-f16.wgsl";
import weightF32 from "./lib/weight-f32.wgsl";

/** How a matrix's elements are kept on the GPU; sums are always f32. */
export type WeightFormat = "f32" | "f16";

/** A weight matrix on the GPU, `[rows, columns]`, each row padded with zeros to whole slices of 32 columns. */
export interface Matrix {
  readonly buffer: GPUBuffer;
  readonly rows: number;
  readonly columns: number;
  readonly format: WeightFormat;
}

/** Slices of 32 columns in a row: the unit in which every product sums (`lib/product.wgsl`). */
export const slicesOf = (columns: number): number => ceilDivide(columns, 32);

/** Bytes that `rows` padded rows of `columns` take. */
export const matrixBytes = (rows: number, columns: number, format: WeightFormat): number =>
  rows * slicesOf(columns) * 32 * (format === "f32" ? 4 : 2);

/** The kernel's text for each weight format: `parts` after the format's `Weight4`, `unpack_weights`, `pack_weights`. */
export function kernelPerFormat(name: string, ...parts: string[]): Readonly<Record<WeightFormat, Kernel>> {
  const make = (format: WeightFormat, prelude: string): Kernel => ({
    name: `${name}-${format}`,
    code: [prelude, ...parts].join("\n"),
  });
  return { f32: make("f32", weightF32), f16: make("f16", float16 + weightF16) };
}
