import { gainOf, type PairFade } from "./memory-window.ts";

/**
 * The windowed states `w_t = m_t − f^k ⊙ m_{t−k}` of both memories (SPEC §5), computed as this difference of the
 * recurrences `m_t = f ⊙ m_{t−1} + u_t`. Each element is weighted by `gainOf`, and each memory's state is scaled to length
 * 1; a state of zeros stays zero. `u [T, D]`, k = `span`, one entry of `fades` per pair; with an odd D the last is a
 * single element, which the lattice does not have. The result is `[T, 2, D]`.
 */
export function memoryWindowReference(
  u: ArrayLike<number>,
  fades: readonly PairFade[],
  size: number,
  span: number,
): Float64Array {
  const half = Math.floor(size / 2);
  const rows = u.length / size;
  const out = new Float64Array(2 * u.length);
  for (let memory = 0; memory < 2; memory++) {
    const states = new Float64Array(u.length);
    fades.forEach(({ beta, alpha, re, im, drive }, pair) => {
      const [fRe, fIm] = memory === 0 ? [beta, 0] : [re, im];
      const [modulus, angle] = [Math.hypot(fRe, fIm), Math.atan2(fIm, fRe)];
      const fade = modulus ** span;
      const [kRe, kIm] = [fade * Math.cos(span * angle), fade * Math.sin(span * angle)];
      const given = memory === 0 ? alpha : pair === half ? 0 : drive;
      const gain = gainOf(modulus, given, span);
      const [first, second] = pair < half ? [pair, pair + half] : [size - 1, undefined];
      const at = (t: number): [number, number] =>
        t < 0 ? [0, 0] : [states[t * size + first]!, second === undefined ? 0 : states[t * size + second]!];
      for (let t = 0; t < rows; t++) {
        const [mRe, mIm] = at(t - 1);
        states[t * size + first] = fRe * mRe - fIm * mIm + u[t * size + first]!;
        if (second !== undefined) states[t * size + second] = fRe * mIm + fIm * mRe + u[t * size + second]!;
      }
      for (let t = 0; t < rows; t++) {
        const [nowRe, nowIm] = at(t);
        const [oldRe, oldIm] = at(t - span);
        const base = (2 * t + memory) * size;
        out[base + first] = gain * (nowRe - (kRe * oldRe - kIm * oldIm));
        if (second !== undefined) out[base + second] = gain * (nowIm - (kRe * oldIm + kIm * oldRe));
      }
    });
  }
  for (let base = 0; base < out.length; base += size) {
    const row = out.subarray(base, base + size);
    const length = Math.hypot(...row);
    // Where the window is zero, the difference leaves rounding errors.
    row.set(row.map((value) => (length > 1e-12 ? value / length : 0)));
  }
  return out;
}
