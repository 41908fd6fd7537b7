import { ceilDivide, Kernel, type KernelHost } from "./kernel.ts";
import eight from "./lib/eight.wgsl";
import weightF16 from "./lib/weight-f16.wgsl";
import weightF32 from "./lib/weight-f32.wgsl";
import weightQ4 from "./lib/weight-q4.wgsl";
import weightQ8 from "./lib/weight-q8.wgsl";

/** Every {@link WeightFormat}. */
export const weightFormats = ["f32", "f16", "q8", "q4"] as const;

/**
 * How the elements of a matrix are kept on the GPU; sums are always f32. `q8` and `q4` keep whole numbers of 8 and 4 bits.
 * Each slice of 32 columns has a scale of its own, and in `q4` a minimum too: 9 and 5 bits per weight in all.
 */
export type WeightFormat = (typeof weightFormats)[number];

/** A weight matrix on the GPU, `[rows, columns]`, each row padded to whole slices of 32 columns. */
export interface Matrix {
  readonly buffer: GPUBuffer;
  readonly rows: number;
  readonly columns: number;
  readonly format: WeightFormat;
}

/** Slices of 32 columns in a row: the unit in which every product sums (`lib/product.wgsl`). */
export const slicesOf = (columns: number): number => ceilDivide(columns, 32);

const sliceBytes: Readonly<Record<WeightFormat, number>> = { f32: 128, f16: 64, q8: 36, q4: 20 };

/** Bytes that `rows` padded rows of `columns` take. */
export const matrixBytes = (rows: number, columns: number, format: WeightFormat): number =>
  rows * slicesOf(columns) * sliceBytes[format];

/** The rows of a matrix that one binding covers. */
export interface MatrixBinding {
  /** The first row; a multiple of 64. */
  readonly first: number;
  readonly rows: number;
  readonly binding: GPUBufferBinding;
}

/** The bindings that cover a matrix: as few as the device's limit allows. */
export function bindingsOf({ bindingBytes }: KernelHost, matrix: Matrix): MatrixBinding[] {
  const { buffer, rows, columns, format } = matrix;
  if (matrixBytes(rows, columns, format) <= bindingBytes) return [{ first: 0, rows, binding: { buffer } }];
  // Rows are whole words, and binding offsets are multiples of 256 bytes; 64 rows satisfy both.
  const most = Math.max(1, Math.floor(bindingBytes / matrixBytes(64, columns, format))) * 64;
  return Array.from({ length: ceilDivide(rows, most) }, (_, i) => {
    const first = i * most;
    const count = Math.min(most, rows - first);
    const [offset, size] = [matrixBytes(first, columns, format), matrixBytes(count, columns, format)];
    return { first, rows: count, binding: { buffer, offset, size } };
  });
}

const preludes: Readonly<Record<WeightFormat, string>> = {
  f32: weightF32,
  f16: weightF16,
  q8: weightQ8,
  q4: weightQ4,
};

/**
 * A kernel for each weight format. Its text is the format's `WeightWord` and the functions that read the kernel's binding
 * `weight`, an `array<WeightWord>`; then `parts`, where a part may differ from format to format.
 */
export function kernelPerFormat(
  name: string,
  ...parts: (string | Readonly<Record<WeightFormat, string>>)[]
): Readonly<Record<WeightFormat, Kernel>> {
  return perFormat(preludes, (prelude, format) => {
    const texts = parts.map((part) => (typeof part === "string" ? part : part[format]));
    return new Kernel(`${name}-${format}`, eight, prelude, ...texts);
  });
}

/** A value for each format, made from another one. */
export const perFormat = <A, B>(
  of: Readonly<Record<WeightFormat, A>>,
  make: (each: A, format: WeightFormat) => B,
): Readonly<Record<WeightFormat, B>> => ({
  f32: make(of.f32, "f32"),
  f16: make(of.f16, "f16"),
  q8: make(of.q8, "q8"),
  q4: make(of.q4, "q4"),
});
