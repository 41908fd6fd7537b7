/** `h[row] = E[tokens[row]]`: `table [V, D]`, the result `[rows, D]`. */
export function embedReference(
  tokens: ArrayLike<number>,
  table: ArrayLike<number>,
  size: number,
): Float64Array {
  const out = new Float64Array(tokens.length * size);
  for (let i = 0; i < out.length; i++) {
    out[i] = table[tokens[Math.floor(i / size)]! * size + (i % size)]!;
  }
  return out;
}
