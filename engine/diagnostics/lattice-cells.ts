/**
 * The cells of a lattice from its modes: the inverse 2-D DFT of each component (SPEC §1), unscaled, along one axis
 * and then the other. Both hold pair c·G + g at `[c·G + g]` and `[c·G + g + D/2]`; a mode's g is p·Gy + q, a cell's x·Gy + y.
 */
export class LatticeCells {
  readonly #grid: readonly [number, number];
  /** e^{2πik/n}, `[n, 2]`, of either axis. */
  readonly #along: readonly [Float64Array, Float64Array];
  /** Of one component, after the first axis: `[Gx, Gy, 2]`. */
  readonly #columns: Float64Array;

  /** @param grid Gx, Gy */
  constructor(grid: readonly [number, number]) {
    this.#grid = grid;
    this.#along = [roots(grid[0]), roots(grid[1])];
    this.#columns = new Float64Array(2 * grid[0] * grid[1]);
  }

  /** Writes the cells of `z [D]` into `cells [D]`; the sums are in f64. */
  write(z: Float32Array, cells: Float32Array | Float64Array): void {
    const [gx, gy] = this.#grid;
    const [alongX, alongY] = this.#along;
    const columns = this.#columns;
    const half = z.length / 2;
    for (let first = 0; first < half; first += gx * gy) {
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
      for (let x = 0; x < gx; x++) {
        for (let y = 0; y < gy; y++) {
          let [re, im] = [0, 0];
          for (let p = 0; p < gx; p++) {
            const at = 2 * (p * gy + y);
            const turn = 2 * ((p * x) % gx);
            re += columns[at]! * alongX[turn]! - columns[at + 1]! * alongX[turn + 1]!;
            im += columns[at]! * alongX[turn + 1]! + columns[at + 1]! * alongX[turn]!;
          }
          cells[first + x * gy + y] = re;
          cells[first + x * gy + y + half] = im;
        }
      }
    }
  }
}

function roots(n: number): Float64Array {
  return Float64Array.from({ length: 2 * n }, (_, i) => {
    const angle = (2 * Math.PI * Math.floor(i / 2)) / n;
    return i % 2 === 0 ? Math.cos(angle) : Math.sin(angle);
  });
}
