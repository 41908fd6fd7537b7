import { ResonantError } from "../errors.ts";

/**
 * A content-addressed readout of a memory: the rows of its trace `[T, D]`, each weighted by the softmax of its cosine with
 * a query, over all positions or over the most similar ones alone. Taken in as rows come: it keeps their weighted sum,
 * or, of the most similar, the rows.
 */
export class Readout {
  readonly #query: Float64Array;
  readonly #most: number;
  /** Over all: Σ weight · row, and Σ weight. */
  readonly #sum: Float64Array;
  #weights = 0;
  /** The most similar, best first; of equals the earlier. */
  readonly #best: { readonly cosine: number; readonly row: Float64Array }[] = [];

  /**
   * @param query `[D]`, of any length but 0; one of zeros is equally similar to all
   * @param most how many positions take part; by default all
   * @throws ResonantError `invalid_argument` if that is no whole number above 0
   */
  constructor(query: ArrayLike<number>, most = Number.POSITIVE_INFINITY) {
    if (!(most > 0 && (Number.isInteger(most) || most === Number.POSITIVE_INFINITY))) {
      throw new ResonantError("invalid_argument", `${most} is no whole number above 0`, { where: "most" });
    }
    const norm = lengthOf(query);
    this.#query = Float64Array.from(query, (value) => (norm > 0 ? value / norm : 0));
    this.#most = most;
    this.#sum = new Float64Array(query.length);
  }

  /** Takes the next rows, `[n, D]`. */
  add(rows: Float32Array | Float64Array): void {
    const size = this.#query.length;
    for (let first = 0; first < rows.length; first += size) this.push(rows.subarray(first, first + size));
  }

  /** Takes the next row, `[D]`. */
  push(row: Float32Array | Float64Array): void {
    const cosine = this.#cosine(row);
    if (this.#most === Number.POSITIVE_INFINITY) {
      this.#weights += addWeighted(this.#sum, cosine, row);
      return;
    }
    const best = this.#best;
    if (best.length === this.#most && !(cosine > best.at(-1)!.cosine)) return;
    const place = best.findIndex((other) => cosine > other.cosine);
    best.splice(place < 0 ? best.length : place, 0, { cosine, row: Float64Array.from(row) });
    if (best.length > this.#most) best.pop();
  }

  /** Of the rows so far, `[D]`. @throws ResonantError `invalid_argument` if there was none */
  read(): Float64Array {
    const sum = this.#sum.slice();
    let weights = this.#weights;
    for (const { cosine, row } of this.#best) weights += addWeighted(sum, cosine, row);
    if (weights > 0) return sum.map((value) => value / weights);
    throw new ResonantError("invalid_argument", "a readout of no rows");
  }

  #cosine(row: ArrayLike<number>): number {
    let dot = 0;
    for (let d = 0; d < this.#query.length; d++) dot += this.#query[d]! * row[d]!;
    const norm = lengthOf(row);
    return norm > 0 ? dot / norm : 0;
  }
}

/** Adds e^cosine · row, and gives e^cosine: at most e, so that the softmax needs no maximum taken off. */
function addWeighted(sum: Float64Array, cosine: number, row: ArrayLike<number>): number {
  const weight = Math.exp(cosine);
  for (let d = 0; d < sum.length; d++) sum[d]! += weight * row[d]!;
  return weight;
}

function lengthOf(row: ArrayLike<number>): number {
  let square = 0;
  for (let d = 0; d < row.length; d++) square += row[d]! * row[d]!;
  return Math.sqrt(square);
}
