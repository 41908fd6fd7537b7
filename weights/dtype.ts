/** Element types, with their names from the safetensors header. */
export type Dtype =
  | "F64"
  | "F32"
  | "F16"
  | "BF16"
  | "I64"
  | "I32"
  | "I16"
  | "I8"
  | "U64"
  | "U32"
  | "U16"
  | "U8"
  | "BOOL";

/** The most dimensions of a tensor, PyTorch's own limit. */
export const MOST_DIMENSIONS = 64;

const SIZES: ReadonlyMap<string, number> = new Map<Dtype, number>([
  ["F64", 8],
  ["F32", 4],
  ["F16", 2],
  ["BF16", 2],
  ["I64", 8],
  ["I32", 4],
  ["I16", 2],
  ["I8", 1],
  ["U64", 8],
  ["U32", 4],
  ["U16", 2],
  ["U8", 1],
  ["BOOL", 1],
]);

/** Whether `name` is a dtype that this engine reads. */
export function isDtype(name: unknown): name is Dtype {
  return typeof name === "string" && SIZES.has(name);
}

/** Bytes per element. */
export function dtypeSize(dtype: Dtype): number {
  return SIZES.get(dtype)!;
}

/**
 * Number of elements in a tensor of this shape; 1 for a scalar, `[]`.
 * @returns undefined if a dimension is not a whole number ≥ 0, or the number is past 2^53
 */
export function elementCount(shape: readonly number[]): number | undefined {
  if (!shape.every((d) => Number.isSafeInteger(d) && d >= 0)) return undefined;
  if (shape.includes(0)) return 0;
  let count = 1;
  for (const dimension of shape) {
    count *= dimension;
    if (!Number.isSafeInteger(count)) return undefined;
  }
  return count;
}

/**
 * Little-endian elements as float32. Exact for F32, F16, BF16, BOOL and integers up to 2^24; F64 and larger
 * integers round to the nearest float32, ties to even.
 *
 * @param bytes any alignment; its length a multiple of the element size (a remainder is ignored). F32 that is
 *   aligned comes back as a view on the same memory, everything else as new memory.
 */
export function toFloat32(bytes: Uint8Array, dtype: Dtype): Float32Array {
  const size = dtypeSize(dtype);
  const count = Math.floor(bytes.byteLength / size);
  // Typed arrays read the platform's order; WebGPU and every platform it runs on are little-endian.
  const { buffer, byteOffset } = bytes.byteOffset % size === 0 ? bytes : bytes.slice();
  switch (dtype) {
    case "F32":
      return new Float32Array(buffer, byteOffset, count);
    case "F64":
      return Float32Array.from(new Float64Array(buffer, byteOffset, count));
    case "F16":
      return decodeFloat16(new Uint16Array(buffer, byteOffset, count));
    case "BF16":
      return decodeBfloat16(new Uint16Array(buffer, byteOffset, count));
    case "I64":
      return fromWords(new Uint32Array(buffer, byteOffset, 2 * count), true);
    case "U64":
      return fromWords(new Uint32Array(buffer, byteOffset, 2 * count), false);
    case "I32":
      return new Float32Array(new Int32Array(buffer, byteOffset, count));
    case "U32":
      return new Float32Array(new Uint32Array(buffer, byteOffset, count));
    case "I16":
      return new Float32Array(new Int16Array(buffer, byteOffset, count));
    case "U16":
      return new Float32Array(new Uint16Array(buffer, byteOffset, count));
    case "I8":
      return new Float32Array(new Int8Array(buffer, byteOffset, count));
    case "U8":
      return new Float32Array(new Uint8Array(buffer, byteOffset, count));
    case "BOOL":
      return new Float32Array(new Uint8Array(buffer, byteOffset, count)).map((v) => (v === 0 ? 0 : 1));
  }
}

let halfTable: Uint32Array | undefined;

/** The float32 bits of every half, indexed by the bits of the half: 256 KB, made once, and much faster than arithmetic. */
function halves(): Uint32Array {
  if (halfTable) return halfTable;
  const table = new Uint32Array(65536);
  const view = new Float32Array(1);
  const bits = new Uint32Array(view.buffer);
  for (let half = 0; half < 65536; half++) {
    const sign = (half & 0x8000) << 16;
    const exponent = (half >> 10) & 0x1f;
    const fraction = half & 0x3ff;
    if (exponent === 0) {
      view[0] = fraction * 2 ** -24;
      table[half] = sign | bits[0]!;
    } else {
      const wide = exponent === 31 ? 0xff : exponent + 112;
      table[half] = sign | (wide << 23) | (fraction << 13);
    }
  }
  halfTable = table;
  return table;
}

function decodeFloat16(source: Uint16Array): Float32Array {
  const table = halves();
  const bits = new Uint32Array(source.length);
  for (let i = 0; i < source.length; i++) bits[i] = table[source[i]!]!;
  return new Float32Array(bits.buffer);
}

function decodeBfloat16(source: Uint16Array): Float32Array {
  const bits = new Uint32Array(source.length);
  for (let i = 0; i < source.length; i++) bits[i] = source[i]! << 16;
  return new Float32Array(bits.buffer);
}

/** 64-bit integers from little-endian pairs of words. BigInt is used only where a double could not hold the value. */
function fromWords(words: Uint32Array, signed: boolean): Float32Array {
  const out = new Float32Array(words.length / 2);
  for (let i = 0; i < out.length; i++) {
    const low = words[2 * i]!;
    const high = signed ? words[2 * i + 1]! | 0 : words[2 * i + 1]!;
    out[i] =
      Math.abs(high) < 2 ** 21 ? high * 2 ** 32 + low : nearestFloat((BigInt(high) << 32n) + BigInt(low));
  }
  return out;
}

/** Rounds only once: through a double, a value could be rounded twice, to the wrong neighbour. */
function nearestFloat(value: bigint): number {
  const sticky = value & 0x7ffn ? 1n << 11n : 0n; // below a double's 53 bits only "is there more" matters
  return Number(((value >> 11n) << 11n) | sticky);
}

/**
 * float32 to IEEE half bits, rounded to nearest, ties to even. A value past 65504 by half a unit or more becomes an
 * infinity; a NaN stays a (quiet) NaN.
 */
export function float32ToFloat16(values: Float32Array): Uint16Array {
  const source = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const out = new Uint16Array(values.length);
  for (let i = 0; i < out.length; i++) out[i] = halfBits(source[i]!);
  return out;
}

function halfBits(bits: number): number {
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00 | ((magnitude >>> 13) & 0x3ff);
  if (magnitude >= 0x477ff000) return sign | 0x7c00;
  // Adding just under half of the last kept bit, plus that bit, rounds to even; a carry goes into the exponent.
  if (magnitude >= 0x38800000) {
    return sign | ((magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1)) >>> 13);
  }
  if (magnitude < 0x33000000) return sign;
  const significand = (magnitude & 0x7fffff) | 0x800000;
  const shift = 126 - (magnitude >>> 23);
  const kept = significand >>> shift;
  const rest = significand - (kept << shift);
  const half = 1 << (shift - 1);
  return sign | (rest > half || (rest === half && (kept & 1) === 1) ? kept + 1 : kept);
}
