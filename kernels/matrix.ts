import { ceilDivide, Kernel, type KernelHost, type WeightLayout } from "./kernel.ts";
import codesInRows from "./lib/codes-in-rows.wgsl";
import codesInterleaved from "./lib/codes-interleaved.wgsl";
import eight from "./lib/eight.wgsl";
import weightF16 from "./lib/weight-f16.wgsl";
import weightF32 from "./lib/weight-f32.wgsl";
import weightQ4 from "./lib/weight-q4.wgsl";
import q4InRows from "./lib/weight-q4-in-rows.wgsl";
import q4Interleaved from "./lib/weight-q4-interleaved.wgsl";
import weightQ8 from "./lib/weight-q8.wgsl";
import q8InRows from "./lib/weight-q8-in-rows.wgsl";
import q8Interleaved from "./lib/weight-q8-interleaved.wgsl";
import wordsInRows from "./lib/words-in-rows.wgsl";
import wordsInterleaved from "./lib/words-interleaved.wgsl";
import wordsOfFour from "./lib/words-of-four.wgsl";

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
  readonly layout: WeightLayout;
}

/** Slices of 32 columns in a row: the unit in which every product sums (`lib/product.wgsl`). */
export const slicesOf = (columns: number): number => ceilDivide(columns, 32);

const sliceBytes: Readonly<Record<WeightFormat, number>> = { f32: 128, f16: 64, q8: 36, q4: 20 };

/** Rows that lie together where they are interleaved. */
const INTERLEAVED_ROWS = 8;

/** Bytes that `rows` padded rows of `columns` take; interleaved ones are padded to whole groups of rows too. */
export function matrixBytes(
  rows: number,
  columns: number,
  format: WeightFormat,
  layout: WeightLayout = "rows",
): number {
  const padded = layout === "rows" ? rows : ceilDivide(rows, INTERLEAVED_ROWS) * INTERLEAVED_ROWS;
  return padded * slicesOf(columns) * sliceBytes[format];
}

/** The rows of a matrix that one binding covers. */
export interface MatrixBinding {
  /** The first row; a multiple of 64. */
  readonly first: number;
  readonly rows: number;
  readonly binding: GPUBufferBinding;
}

/** The bindings that cover a matrix: as few as the device's limit allows. */
export function bindingsOf({ bindingBytes }: KernelHost, matrix: Matrix): MatrixBinding[] {
  const { buffer, rows, columns, format, layout } = matrix;
  const bytes = (count: number): number => matrixBytes(count, columns, format, layout);
  if (bytes(rows) <= bindingBytes) return [{ first: 0, rows, binding: { buffer } }];
  // Rows are whole words, and binding offsets are multiples of 256 bytes; 64 rows satisfy both, and are whole groups.
  const most = Math.max(1, Math.floor(bindingBytes / bytes(64))) * 64;
  return Array.from({ length: ceilDivide(rows, most) }, (_, i) => {
    const first = i * most;
    const count = Math.min(most, rows - first);
    return { first, rows: count, binding: { buffer, offset: bytes(first), size: bytes(count) } };
  });
}

/** Where a slice lies: `SliceAt` and `slice_at`, and for codes the words of a slice. */
const addresses: Readonly<Record<WeightLayout, Readonly<Record<WeightFormat, string>>>> = {
  rows: { f32: wordsInRows, f16: wordsInRows, q8: codesInRows, q4: codesInRows },
  interleaved: {
    f32: wordsInterleaved,
    f16: wordsInterleaved,
    q8: codesInterleaved,
    q4: codesInterleaved,
  },
};

/** How a format is made; of whole words, how it is read too. */
const formats: Readonly<Record<WeightFormat, string>> = {
  f32: weightF32,
  f16: weightF16,
  q8: weightQ8,
  q4: weightQ4,
};

/** The functions that read the kernel's binding `weight`. */
const readers: Readonly<Record<WeightLayout, Readonly<Record<WeightFormat, string>>>> = {
  rows: { f32: weightF32, f16: weightF16, q8: weightQ8 + q8InRows, q4: weightQ4 + q4InRows },
  interleaved: {
    f32: weightF32,
    f16: weightF16,
    q8: weightQ8 + wordsOfFour + q8Interleaved,
    q4: weightQ4 + wordsOfFour + q4Interleaved,
  },
};

/** A text, or one for each format. */
export type FormatPart = string | Readonly<Record<WeightFormat, string>>;

/** A kernel for each layout and format of a matrix. */
export type MatrixKernels = Readonly<Record<WeightLayout, Readonly<Record<WeightFormat, Kernel>>>>;

/** The kernel for a matrix. */
export const kernelFor = (kernels: MatrixKernels, { layout, format }: Matrix): Kernel =>
  kernels[layout][format];

/**
 * A kernel for each layout and format. Its text is the functions that read the kernel's binding `weight`, an
 * `array<WeightWord>`; then `parts`, where a part may differ from format to format. `slice_at(row, slice, slices)` says
 * where a slice of 32 weights lies, and `load_four`, `load_eight` and `load_scale` read it from there.
 */
export const matrixKernels = (name: string, ...parts: readonly FormatPart[]): MatrixKernels => ({
  rows: readingKernels(name, "rows", ...parts),
  interleaved: readingKernels(name, "interleaved", ...parts),
});

/** Kernels that write a matrix: their text says where a slice lies, and how a format is made, but not how it is read. */
export const writingKernels = (name: string, ...parts: readonly FormatPart[]): MatrixKernels => ({
  rows: kernelPerFormat(name, "rows", formats, ...parts),
  interleaved: kernelPerFormat(`${name}-interleaved`, "interleaved", formats, ...parts),
});

/** A kernel for each format, whose matrix is laid out in one way. Its text has no functions that read the matrix. */
const kernelPerFormat = (
  name: string,
  layout: WeightLayout,
  ...parts: readonly FormatPart[]
): Readonly<Record<WeightFormat, Kernel>> =>
  perFormat(addresses[layout], (address, format) => {
    const texts = parts.map((part) => (typeof part === "string" ? part : part[format]));
    return new Kernel(`${name}-${format}`, eight, address, ...texts);
  });

/** The kernels of one layout: see {@link matrixKernels}. */
export const readingKernels = (
  name: string,
  layout: WeightLayout,
  ...parts: readonly FormatPart[]
): Readonly<Record<WeightFormat, Kernel>> =>
  kernelPerFormat(layout === "rows" ? name : `${name}-${layout}`, layout, readers[layout], ...parts);

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
