import type { WeightLayout } from "../kernel.ts";
import { slicesOf, type WeightFormat } from "../matrix.ts";

/**
 * The IEEE binary16 nearest to `x`, ties to even: 11 significant bits, exponents from −14, in steps of 2⁻²⁴ below
 * 2⁻¹⁴, infinite from 65520.
 */
export function roundToFloat16(x: number): number {
  if (!Number.isFinite(x) || x === 0) return x;
  const size = Math.abs(x);
  if (size >= 65520) return Math.sign(x) * Number.POSITIVE_INFINITY;
  let step = 2 ** -24;
  while (size >= step * 2048) step *= 2;
  const below = Math.floor(size / step);
  const rest = size / step - below;
  const up = rest > 0.5 || (rest === 0.5 && below % 2 === 1);
  const rounded = (below + (up ? 1 : 0)) * step;
  return x < 0 ? -rounded : rounded;
}

/** The number whose binary16 bits are `bits`. */
export function fromFloat16Bits(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25));
}

/**
 * `[rows, columns]` in the layout that products read, `[rows, padded]`, with zeros as padding; `gated` puts row j of the
 * first half at 2j and row j of the second at 2j + 1.
 */
export function packReference(
  matrix: ArrayLike<number>,
  [rows, columns]: readonly [number, number],
  padded: number,
  gated: boolean,
): Float64Array {
  const out = new Float64Array(rows * padded);
  for (let row = 0; row < rows; row++) {
    const to = !gated ? row : row < rows / 2 ? 2 * row : 2 * (row - rows / 2) + 1;
    for (let k = 0; k < columns; k++) out[to * padded + k] = matrix[row * columns + k]!;
  }
  return out;
}

/** A slice of a row in a format: its words, and the values that they stand for. */
export interface Slice {
  readonly words: Uint32Array;
  readonly values: Float64Array;
}

/** `x` rounded towards +∞ or −∞ to `bits` significant bits. */
function roundTo(x: number, bits: number, towards: typeof Math.ceil): number {
  if (x === 0) return 0;
  const step = 2 ** (Math.floor(Math.log2(Math.abs(x))) + 1 - bits);
  return towards(x / step) * step;
}

/** Numbers below 2⁻⁸⁰ count as zero, numbers above 2¹⁰⁰ as 2¹⁰⁰. */
const tame = (x: number): number =>
  Math.abs(x) < 2 ** -80 ? 0 : Math.max(-(2 ** 100), Math.min(2 ** 100, x));

const floatBits = (x: number): number => new Uint32Array(Float32Array.of(x).buffer)[0]!;

/**
 * Up to 32 consecutive weights as q8. The scale is the smallest number of 16 significant bits such that no weight exceeds
 * 127 times it; each weight becomes the nearest multiple, ties away from zero.
 */
export function quantize8Reference(weights: ArrayLike<number>): Slice {
  const tamed = Array.from(weights, tame);
  const scale = roundTo(Math.max(...tamed.map(Math.abs)) / 127, 16, Math.ceil);
  const codes = tamed.map((x) =>
    scale === 0 ? 0 : Math.sign(x) * Math.floor(Math.abs(x) / scale + 0.5) + 0,
  );
  const words = new Uint32Array(9);
  words[0] = floatBits(scale);
  new Int8Array(words.buffer, 4).set(codes);
  return { words, values: Float64Array.from(codes, (code) => code * scale) };
}

/**
 * Up to 32 consecutive weights as q4. The minimum is rounded down to 8 significant bits; the scale is the smallest number
 * of 8 significant bits such that 15 steps from the minimum reach the maximum. Each weight becomes the nearest of the 16
 * levels, ties upwards. The midpoints between levels are f32.
 */
export function quantize4Reference(weights: ArrayLike<number>): Slice {
  const tamed = Array.from(weights, tame);
  const minimum = roundTo(Math.min(...tamed), 8, Math.floor);
  const scale = roundTo(Math.fround(Math.max(...tamed) - minimum) / 15, 8, Math.ceil);
  const between = Array.from({ length: 15 }, (_, code) => Math.fround(minimum + (code + 0.5) * scale));
  const codes = tamed.map((x) => (scale === 0 ? 0 : between.filter((edge) => edge <= x).length));
  const words = new Uint32Array(5);
  words[0] = (floatBits(scale) >>> 16) | floatBits(minimum);
  codes.forEach((code, i) => {
    words[1 + (i >> 3)]! |= code << (4 * (i % 8));
  });
  return { words, values: Float64Array.from(codes, (code) => Math.fround(minimum + code * scale)) };
}

/** A matrix of `columns` with the values that a format makes of its weights. */
export function keptReference(
  matrix: Float32Array<ArrayBuffer>,
  columns: number,
  format: WeightFormat,
): Float32Array<ArrayBuffer> {
  if (format === "f32") return matrix;
  if (format === "f16") return matrix.map(roundToFloat16);
  const quantize = format === "q8" ? quantize8Reference : quantize4Reference;
  const out = matrix.slice();
  for (let row = 0; row < matrix.length; row += columns) {
    for (let k = row; k < row + columns; k += 32) {
      const slice = matrix.subarray(k, Math.min(k + 32, row + columns));
      out.set(quantize(slice).values, k);
    }
  }
  return out;
}

/** 32-bit words of a slice: its scale, if it has one, and its weights. */
const sliceWords = { f32: [0, 32], f16: [0, 16], q8: [1, 8], q4: [1, 4] } as const;

/** The words of a matrix `[rows, columns]` row after row, whatever its layout; a slice's scale stands before its weights. */
export function inRowsReference(
  words: Uint32Array,
  [rows, columns]: readonly [number, number],
  format: WeightFormat,
  layout: WeightLayout,
): Uint32Array {
  const [scales, codes] = sliceWords[format];
  const slices = slicesOf(columns);
  const size = scales + codes;
  if (layout === "rows") return words.subarray(0, rows * slices * size);
  const out = new Uint32Array(rows * slices * size);
  for (let row = 0; row < rows; row++) {
    const group = Math.floor(row / 8) * 8 * slices * size;
    const inGroup = row % 8;
    for (let slice = 0; slice < slices; slice++) {
      const to = (row * slices + slice) * size;
      if (scales > 0) out[to] = words[group + 8 * slice + inGroup]!;
      for (let i = 0; i < codes; i++) {
        // Of eight rows: four words of one, then of the next one.
        const from = 8 * (scales * slices + slice * codes) + 32 * Math.floor(i / 4) + 4 * inGroup + (i % 4);
        out[to + scales + i] = words[group + from]!;
      }
    }
  }
  return out;
}
