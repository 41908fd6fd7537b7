import { ResonantError } from "../../common/errors.ts";
import { factorize, solveFactorized } from "./cholesky.ts";

/** A ridge fit of E by Z W. */
export interface RidgeFit {
  /** W, `[Dz, D]`. */
  readonly weights: Float64Array;
  /** ‖E − Z W‖ / ‖E‖ over the rows it was fitted to (Frobenius norms); 0 where E is zero. */
  readonly residual: number;
}

/**
 * KISS-Ridge (SPEC §5), `W = (ZᵀZ + λI)⁻¹ ZᵀE` in f64, from rows added in blocks. It keeps only ZᵀZ and ZᵀE,
 * whatever the number of rows T. While T < Dz it keeps the rows instead, and solves the dual form `W = Zᵀ(ZZᵀ + λI)⁻¹ E`,
 * whose matrix is smaller and better conditioned.
 */
export class Ridge {
  readonly #inputs: number;
  readonly #outputs: number;
  /** The first rows, until there are Dz: z and e. */
  #kept: { readonly z: Float64Array; readonly e: Float64Array } | undefined;
  /** The lower triangle of ZᵀZ, `[Dz, Dz]`, and ZᵀE, `[Dz, D]`; empty until there are Dz rows. */
  #gram = new Float64Array();
  #cross = new Float64Array();
  /** ‖E‖². */
  #square = 0;
  #rows = 0;

  /**
   * @param inputs Dz
   * @param outputs D
   */
  constructor(inputs: number, outputs: number) {
    this.#inputs = inputs;
    this.#outputs = outputs;
    this.#kept = { z: new Float64Array(inputs * inputs), e: new Float64Array(inputs * outputs) };
  }

  /** T, the rows added so far. */
  get rows(): number {
    return this.#rows;
  }

  /**
   * Adds rows of Z and E.
   * @param z `[rows, Dz]`
   * @param e `[rows, D]`
   */
  add(z: ArrayLike<number>, e: ArrayLike<number>): void {
    const [inputs, outputs] = [this.#inputs, this.#outputs];
    const rows = z.length / inputs;
    if (!Number.isInteger(rows) || e.length !== rows * outputs) {
      throw new ResonantError(
        "invalid_argument",
        `${z.length} and ${e.length} numbers are no rows of ${inputs} and ${outputs}`,
      );
    }
    const zs = Float64Array.from(z);
    const es = Float64Array.from(e);
    for (const value of es) this.#square += value * value;
    // Rows up to the first Dz are kept; later ones are added to the sums.
    const head = this.#kept ? Math.min(rows, inputs - this.#rows) : 0;
    this.#kept?.z.set(zs.subarray(0, head * inputs), this.#rows * inputs);
    this.#kept?.e.set(es.subarray(0, head * outputs), this.#rows * outputs);
    this.#rows += rows;
    if (this.#kept && this.#rows >= inputs) {
      const { z: first, e: targets } = this.#kept;
      this.#kept = undefined;
      this.#gram = new Float64Array(inputs * inputs);
      this.#cross = new Float64Array(inputs * outputs);
      this.#accumulate(first, targets);
    }
    if (!this.#kept) this.#accumulate(zs.subarray(head * inputs), es.subarray(head * outputs));
  }

  #accumulate(z: Float64Array, e: Float64Array): void {
    addProduct(this.#gram, z, z, this.#inputs, this.#inputs, true);
    addProduct(this.#cross, z, e, this.#inputs, this.#outputs, false);
  }

  /**
   * Solves for W. More rows can be added afterwards.
   * @throws ResonantError `invalid_argument` if λ is not a number of at least 0, there are no rows, or ZᵀZ + λI is singular
   */
  solve(lambda: number): RidgeFit {
    if (!(lambda >= 0 && lambda < Number.POSITIVE_INFINITY)) {
      throw new ResonantError("invalid_argument", `${lambda} is no number of at least 0`, {
        option: "lambda",
      });
    }
    if (this.#rows === 0) throw new ResonantError("invalid_argument", "there are no rows to fit");
    if (!this.#kept) return this.#solvePrimal(lambda);
    if (lambda === 0) throw singular(lambda, this.#rows, this.#inputs);
    return this.#solveDual(this.#kept, lambda);
  }

  /** ‖E − ZW‖² = ‖E‖² − ⟨W, ZᵀE⟩ − λ‖W‖², since (ZᵀZ + λI) W = ZᵀE. */
  #solvePrimal(lambda: number): RidgeFit {
    const [inputs, outputs] = [this.#inputs, this.#outputs];
    const factor = this.#gram.slice();
    for (let i = 0; i < inputs; i++) factor[i * inputs + i]! += lambda;
    if (factorize(factor, inputs) !== undefined) throw singular(lambda, this.#rows, inputs);
    const weights = this.#cross.slice();
    solveFactorized(factor, inputs, weights, outputs);
    let explained = 0;
    weights.forEach((w, i) => {
      explained += w * (this.#cross[i]! + lambda * w);
    });
    return { weights, residual: this.#relative(this.#square - explained) };
  }

  /** With A = (ZZᵀ + λI)⁻¹ E: W = ZᵀA, and E − ZW = λA. */
  #solveDual(kept: { readonly z: Float64Array; readonly e: Float64Array }, lambda: number): RidgeFit {
    const [rows, inputs, outputs] = [this.#rows, this.#inputs, this.#outputs];
    const z = kept.z.subarray(0, rows * inputs);
    const factor = new Float64Array(rows * rows);
    for (let i = 0; i < rows; i++) {
      for (let j = 0; j <= i; j++) {
        let sum = i === j ? lambda : 0;
        for (let d = 0; d < inputs; d++) sum += z[i * inputs + d]! * z[j * inputs + d]!;
        factor[i * rows + j] = sum;
      }
    }
    if (factorize(factor, rows) !== undefined) throw singular(lambda, rows, inputs);
    const a = kept.e.slice(0, rows * outputs);
    solveFactorized(factor, rows, a, outputs);
    const weights = new Float64Array(inputs * outputs);
    addProduct(weights, z, a, inputs, outputs, false);
    const square = a.reduce((sum, value) => sum + value * value, 0);
    return { weights, residual: this.#relative(lambda * lambda * square) };
  }

  #relative(square: number): number {
    return this.#square === 0 ? 0 : Math.sqrt(Math.max(0, square) / this.#square);
  }
}

/** `target += aᵀ b`: `a [rows, m]`, `b [rows, n]`, `target [m, n]`; `lower`: only up to its diagonal. */
function addProduct(
  target: Float64Array,
  a: Float64Array,
  b: Float64Array,
  m: number,
  n: number,
  lower: boolean,
): void {
  const rows = a.length / m;
  // Four rows at a time, to pass over the large target a quarter as often.
  for (let r = 0; r < rows; r += 4) {
    const at = (i: number, width: number): number => Math.min(r + i, rows - 1) * width;
    const [b0, b1, b2, b3] = [at(0, n), at(1, n), at(2, n), at(3, n)];
    for (let i = 0; i < m; i++) {
      const a0 = a[at(0, m) + i]!;
      const a1 = r + 1 < rows ? a[at(1, m) + i]! : 0;
      const a2 = r + 2 < rows ? a[at(2, m) + i]! : 0;
      const a3 = r + 3 < rows ? a[at(3, m) + i]! : 0;
      const width = lower ? i + 1 : n;
      const base = i * n;
      for (let j = 0; j < width; j++) {
        target[base + j]! += a0 * b[b0 + j]! + a1 * b[b1 + j]! + a2 * b[b2 + j]! + a3 * b[b3 + j]!;
      }
    }
  }
}

function singular(lambda: number, rows: number, inputs: number): ResonantError {
  return new ResonantError(
    "invalid_argument",
    `ZᵀZ + λI is singular with λ = ${lambda} and ${rows} rows for ${inputs} columns`,
    { option: "lambda", fix: "Take a larger λ, or more text" },
  );
}
