/** The mean field of a layer's pairs, in f64. */
export interface MeanField {
  /** Σ m_j / Σ |m_j|; its modulus is R. */
  readonly re: number;
  readonly im: number;
  /**
   * The mean R of these moduli with random phases: √(π/4 · Σ |m_j|²) / Σ |m_j|, the mean of the Rayleigh distribution
   * that the sum approaches.
   */
  readonly chance: number;
}

/** Mean field of the pairs `m [D]`; all zero where `m` is. */
export function meanField(m: Float32Array): MeanField {
  const half = Math.floor(m.length / 2);
  let [re, im, moduli, squares] = [0, 0, 0, 0];
  for (let j = 0; j < half; j++) {
    const [a, b] = [m[j]!, m[j + half]!];
    re += a;
    im += b;
    squares += a * a + b * b;
    moduli += Math.sqrt(a * a + b * b);
  }
  if (moduli === 0) return { re: 0, im: 0, chance: 0 };
  return { re: re / moduli, im: im / moduli, chance: Math.sqrt((Math.PI / 4) * squares) / moduli };
}

/** The smallest round number that is at least `most` (which is at most 1): the end of an axis. */
export const axisEnd = (most: number): number =>
  [0.1, 0.2, 0.3, 0.4, 0.6, 0.8].find((end) => most <= end) ?? 1;
