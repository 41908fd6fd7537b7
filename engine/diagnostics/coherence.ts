/**
 * R = |Σ_j m_j| / Σ_j |m_j| over the pairs of a vector memory's state m `[D]` (SPEC §4, Kuramoto's order parameter), in f64;
 * 0 where all are zero.
 */
export function orderParameter(m: Float32Array): number {
  const half = Math.floor(m.length / 2);
  let [re, im, moduli] = [0, 0, 0];
  for (let j = 0; j < half; j++) {
    const [a, b] = [m[j]!, m[j + half]!];
    re += a;
    im += b;
    moduli += Math.sqrt(a * a + b * b);
  }
  return moduli > 0 ? Math.sqrt(re * re + im * im) / moduli : 0;
}

/**
 * |Σ cells| / Σ |cells| of a lattice's state, averaged over its components (SPEC §4), in f64. The cells are the inverse 2-D
 * DFT of the modes, taken along one axis and then the other; their sum is G times the mode (0, 0).
 */
export class LatticeCoherence {
  readonly #grid: readonly [number, number];
  readonly #alongX: Float64Array;
  readonly #alongY: Float64Array;
  /** Of one component, after the first axis: `[Gx, Gy, 2]`. */
  readonly #columns: Float64Array;

  /** @param grid Gx, Gy */
  constructor(grid: readonly [number, number]) {
    this.#grid = grid;
    this.#alongX = rootsOfUnity(grid[0]);
    this.#alongY = rootsOfUnity(grid[1]);
    this.#columns = new Float64Array(2 * grid[0] * grid[1]);
  }

  /** Of `z [D]`: pair c·G + p·Gy + q is component c, mode (p, q). A component of zeros counts as 0. */
  of(z: Float32Array): number {
    const [gx, gy] = this.#grid;
    const half = z.length / 2;
    let sum = 0;
    for (let first = 0; first < half; first += gx * gy) {
      const moduli = this.#moduli(z, first, half);
      const [re, im] = [z[first]!, z[first + half]!];
      if (moduli > 0) sum += (gx * gy * Math.sqrt(re * re + im * im)) / moduli;
    }
    return (sum * gx * gy) / half;
  }

  /** Σ |cells| of the component whose pairs start at `first`. */
  #moduli(z: Float32Array, first: number, half: number): number {
    const [gx, gy] = this.#grid;
    const [alongX, alongY, columns] = [this.#alongX, this.#alongY, this.#columns];
    for (let p = 0; p < gx; p++) {
      for (let y = 0; y < gy; y++) {
        let [re, im] = [0, 0];
        for (let q = 0; q < gy; q++) {
          const at = first + p * gy + q;
          const turn = 2 * ((q * y) % gy);
          re += z[at]! * alongY[turn]! - z[at + half]! * alongY[turn + 1]!;
          im += z[at]! * alongY[turn + 1]! + z[at + half]! * alongY[turn]!;
        }
        columns[2 * (p * gy + y)] = re;
        columns[2 * (p * gy + y) + 1] = im;
      }
    }
    let moduli = 0;
    for (let x = 0; x < gx; x++) {
      for (let y = 0; y < gy; y++) {
        let [re, im] = [0, 0];
        for (let p = 0; p < gx; p++) {
          const at = 2 * (p * gy + y);
          const turn = 2 * ((p * x) % gx);
          re += columns[at]! * alongX[turn]! - columns[at + 1]! * alongX[turn + 1]!;
          im += columns[at]! * alongX[turn + 1]! + columns[at + 1]! * alongX[turn]!;
        }
        moduli += Math.sqrt(re * re + im * im);
      }
    }
    return moduli;
  }
}

/** e^{2πik/n}, `[n, 2]`. */
function rootsOfUnity(n: number): Float64Array {
  return Float64Array.from({ length: 2 * n }, (_, i) => {
    const angle = (2 * Math.PI * Math.floor(i / 2)) / n;
    return i % 2 === 0 ? Math.cos(angle) : Math.sin(angle);
  });
}
