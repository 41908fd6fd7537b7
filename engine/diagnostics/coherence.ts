import { LatticeCells } from "./lattice-cells.ts";

/**
 * R = |Σ_j m_j| / Σ_j |m_j| over the pairs of a state m `[D]` (SPEC §4, Kuramoto's order parameter), in f64; 0 if all are
 * zero.
 * @param first,count the pairs to use; default all
 */
export function orderParameter(
  m: Float32Array | Float64Array,
  first = 0,
  count = Math.floor(m.length / 2),
): number {
  const half = Math.floor(m.length / 2);
  let [re, im, moduli] = [0, 0, 0];
  for (let j = first; j < first + count; j++) {
    const [a, b] = [m[j]!, m[j + half]!];
    re += a;
    im += b;
    moduli += Math.sqrt(a * a + b * b);
  }
  return moduli > 0 ? Math.sqrt(re * re + im * im) / moduli : 0;
}

/** |Σ cells| / Σ |cells| of a lattice's state, averaged over its components (SPEC §4), in f64. */
export class LatticeCoherence {
  /** G. */
  readonly #modes: number;
  readonly #lattice: LatticeCells;
  #cells = new Float64Array();

  /** @param grid Gx, Gy */
  constructor(grid: readonly [number, number]) {
    this.#modes = grid[0] * grid[1];
    this.#lattice = new LatticeCells(grid);
  }

  /** Of `z [D]`: pair c·G + p·Gy + q is component c, mode (p, q). A component of zeros counts as 0. */
  of(z: Float32Array): number {
    if (this.#cells.length !== z.length) this.#cells = new Float64Array(z.length);
    this.#lattice.write(z, this.#cells);
    const half = z.length / 2;
    let sum = 0;
    for (let first = 0; first < half; first += this.#modes) {
      sum += orderParameter(this.#cells, first, this.#modes);
    }
    return (sum * this.#modes) / half;
  }
}
