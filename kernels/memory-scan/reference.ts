import type { PairDecay } from "./memory-scan.ts";

/** Both memories after every token, each `[length, D]`. */
export interface Memories {
  readonly m: Float64Array;
  readonly z: Float64Array;
}

/**
 * The recurrences of SPEC §1 for one stream, token by token: `m_t = β ⊙ m_{t−1} + α ⊙ u_t` and `z_t = λ e^{iω} ⊙ z_{t−1} +
 * (1 − λ) ⊙ u_t`, u read as pairs (u[j], u[j + ⌊D/2⌋]). `u [length, D]`, one entry of `decay` per pair, `start`: m and z
 * before the first token, `[D]` each. With an odd D the last element is a pair whose second half is zero; the lattice has
 * no such pair.
 */
export function memoryReference(
  u: ArrayLike<number>,
  decay: readonly PairDecay[],
  start: { readonly m: ArrayLike<number>; readonly z: ArrayLike<number> },
  size: number,
): Memories {
  const half = Math.floor(size / 2);
  const m = new Float64Array(u.length);
  const z = new Float64Array(u.length);
  for (let base = 0; base < u.length; base += size) {
    const mBefore = base === 0 ? start.m : m.subarray(base - size, base);
    const zBefore = base === 0 ? start.z : z.subarray(base - size, base);
    decay.forEach(({ beta, alpha, lambda, omega }, pair) => {
      const alone = pair === half;
      const re = alone ? size - 1 : pair;
      const im = alone ? undefined : pair + half;
      const turned = [
        Math.cos(omega) * zBefore[re]! - Math.sin(omega) * (im === undefined ? 0 : zBefore[im]!),
        Math.sin(omega) * zBefore[re]! + Math.cos(omega) * (im === undefined ? 0 : zBefore[im]!),
      ] as const;
      m[base + re] = beta * mBefore[re]! + alpha * u[base + re]!;
      z[base + re] = lambda * turned[0] + (1 - lambda) * u[base + re]!;
      if (im !== undefined) {
        m[base + im] = beta * mBefore[im]! + alpha * u[base + im]!;
        z[base + im] = lambda * turned[1] + (1 - lambda) * u[base + im]!;
      }
    });
  }
  return { m, z };
}
