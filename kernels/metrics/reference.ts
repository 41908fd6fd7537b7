/** |Σ v_j| / Σ |v_j| of complex numbers `[n]` of `[re, im]`; 0 where all are zero. */
export function coherenceReference(values: readonly (readonly [number, number])[]): number {
  let re = 0;
  let im = 0;
  let moduli = 0;
  for (const [a, b] of values) {
    re += a;
    im += b;
    moduli += Math.hypot(a, b);
  }
  return moduli === 0 ? 0 : Math.hypot(re, im) / moduli;
}

/** The pairs (v[j], v[j + ⌊D/2⌋]) of a vector. */
export function pairsReference(v: ArrayLike<number>): [number, number][] {
  const half = Math.floor(v.length / 2);
  return Array.from({ length: half }, (_, j) => [v[j]!, v[j + half]!]);
}

/**
 * The cells of one lattice component: the inverse 2-D DFT of its modes (SPEC §1, without a factor 1/G, which cancels in
 * the coherence). `modes [Gx·Gy]`, mode `p·Gy + q`; cell `x·Gy + y`.
 */
export function cellsReference(
  modes: readonly (readonly [number, number])[],
  [gx, gy]: readonly [number, number],
): [number, number][] {
  const cells: [number, number][] = [];
  for (let x = 0; x < gx; x++) {
    for (let y = 0; y < gy; y++) {
      let re = 0;
      let im = 0;
      for (let p = 0; p < gx; p++) {
        for (let q = 0; q < gy; q++) {
          const [a, b] = modes[p * gy + q]!;
          const angle = 2 * Math.PI * ((p * x) / gx + (q * y) / gy);
          re += a * Math.cos(angle) - b * Math.sin(angle);
          im += a * Math.sin(angle) + b * Math.cos(angle);
        }
      }
      cells.push([re, im]);
    }
  }
  return cells;
}

/** Mean over the components of |Σ cells| / Σ |cells| (SPEC §4); `z [D]`, pair `c·G + g` is component c, mode g. */
export function latticeCoherenceReference(z: ArrayLike<number>, grid: readonly [number, number]): number {
  const pairs = pairsReference(z);
  const size = grid[0] * grid[1];
  let sum = 0;
  for (let first = 0; first < pairs.length; first += size) {
    sum += coherenceReference(cellsReference(pairs.slice(first, first + size), grid));
  }
  return (sum * size) / pairs.length;
}
