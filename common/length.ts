/**
 * The Euclidean length of a vector, with the same bits in every JavaScript engine: the last bit of `Math.hypot` is each engine's
 * own choice. By Kahan's sum of the squares, as V8 has it.
 */
export function lengthOf(values: ArrayLike<number>): number {
  let most = 0;
  for (let i = 0; i < values.length; i++) most = Math.max(most, Math.abs(values[i]!));
  if (most === 0 || !Number.isFinite(most)) return most;
  let [sum, lost] = [0, 0];
  for (let i = 0; i < values.length; i++) {
    const part = values[i]! / most;
    const square = part * part - lost;
    const next = sum + square;
    lost = next - sum - square;
    sum = next;
  }
  return Math.sqrt(sum) * most;
}
