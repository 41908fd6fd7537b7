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
 * `[rows, columns]` as the products read it, `[rows, padded]`, the padding zero; `gated` lays row j of the first half
 * at 2j and row j of the second at 2j + 1.
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
