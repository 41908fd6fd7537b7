import { ResonantError } from "../../common/errors.ts";

/**
 * The curvature of a trajectory near a needle and before a later retrieval (SPEC §5.4). Indices are those of c, which has two
 * elements fewer than the trajectory has tokens: c[i] is the curvature at token i + 1.
 */
export interface CurvatureMetrics {
  /** Largest normalised curvature within 4 of the needle, in [0, 1]. */
  readonly peakAtNeedle: number | null;
  /** Largest normalised curvature before the retrieval, in [0, 1]; 0 if nothing is before it. */
  readonly peakBeforeRetrieval: number | null;
  /** The number of tokens. */
  readonly tokens: number;
  /** The first index with the largest curvature. */
  readonly peakIndex: number | null;
  /** `peakIndex` minus the index of the retrieval. */
  readonly peakOffset: number | null;
  /** Whether `peakIndex` is within 4 of the needle. */
  readonly peakIsAtNeedle: boolean | null;
  /** The fraction of the sum of the curvature that is before the retrieval. */
  readonly fractionBeforeRetrieval: number | null;
  /** The entropy of the curvature divided by its sum, relative to that of a constant curvature. */
  readonly entropy: number | null;
}

export interface CurvatureOptions {
  /** D. */
  readonly size: number;
  /** The first token of the needle. */
  readonly needle: number;
  /** The first token of the retrieval. */
  readonly retrieval: number;
}

/** The distance from the needle, in indices, that counts as at the needle. */
const REACH = 4;
const EPSILON = 1e-8;

/**
 * Phase curvature c[i] = ‖z[i+2] − 2z[i+1] + z[i]‖ of a memory's trajectory z `[T, D]`, the discrete second difference,
 * in f64. Rows are added one by one: it keeps the last two rows, the last five curvatures, and sums and extremes. T need not
 * be known in advance: a token p has the index clamp(p, 1, T − 2) − 1, and the last index is resolved at the end.
 */
export class Curvature {
  readonly #needle: number;
  readonly #retrieval: number;
  #earlier: Float64Array;
  #last: Float64Array;
  #tokens = 0;
  /** The last curvatures, the newest at the end. */
  #recent: number[] = [];
  #least = Number.POSITIVE_INFINITY;
  #most = Number.NEGATIVE_INFINITY;
  #peak = 0;
  #sum = 0;
  /** Σ c ln c. */
  #information = 0;
  #atNeedle = Number.NEGATIVE_INFINITY;
  #before = Number.NEGATIVE_INFINITY;
  #sumBefore = 0;

  constructor({ size, needle, retrieval }: CurvatureOptions) {
    this.#needle = Math.max(1, needle) - 1;
    this.#retrieval = Math.max(1, retrieval) - 1;
    this.#earlier = new Float64Array(size);
    this.#last = new Float64Array(size);
  }

  /** Adds the next rows, `[n, D]`. @throws ResonantError `model` if they are not finite */
  add(rows: Float32Array | Float64Array): void {
    const size = this.#last.length;
    for (let first = 0; first < rows.length; first += size) this.push(rows.subarray(first, first + size));
  }

  /** Adds the next row, `[D]`. @throws ResonantError `model` if it is not finite */
  push(row: Float32Array | Float64Array): void {
    const [earlier, last] = [this.#earlier, this.#last];
    let square = 0;
    for (let d = 0; d < last.length; d++) square += (row[d]! - 2 * last[d]! + earlier[d]!) ** 2;
    if (!Number.isFinite(square)) throw new ResonantError("model", "the memory's trajectory is not finite");
    if (this.#tokens >= 2) this.#curve(this.#tokens - 2, Math.sqrt(square));
    earlier.set(row);
    [this.#earlier, this.#last] = [last, earlier];
    this.#tokens++;
  }

  /** Returns the metrics. Null: undefined for a trajectory that is too short or straight. */
  metrics(): CurvatureMetrics {
    const end = this.#tokens - 3;
    if (end < 0) {
      return {
        peakAtNeedle: null,
        peakBeforeRetrieval: null,
        tokens: this.#tokens,
        peakIndex: null,
        peakOffset: null,
        peakIsAtNeedle: null,
        fractionBeforeRetrieval: null,
        entropy: null,
      };
    }
    const needle = Math.min(this.#needle, end);
    const retrieval = Math.min(this.#retrieval, end);
    const atNeedle = this.#needle > end ? Math.max(...this.#recent) : this.#atNeedle;
    const sum = this.#sum;
    const entropy = (Math.log(sum) - this.#information / sum) / Math.log(end + 1);
    return {
      peakAtNeedle: this.#normalised(atNeedle) / (this.#normalised(this.#most) + EPSILON),
      peakBeforeRetrieval: retrieval > 0 ? this.#normalised(this.#before) : 0,
      tokens: this.#tokens,
      peakIndex: this.#peak,
      peakOffset: this.#peak - retrieval,
      peakIsAtNeedle: Math.abs(this.#peak - needle) <= REACH,
      fractionBeforeRetrieval: sum > 0 ? this.#sumBefore / sum : null,
      entropy: sum > 0 && end > 0 ? entropy : null,
    };
  }

  #curve(i: number, c: number): void {
    // The last index is never before the retrieval, wherever that is: so each counts only once another follows.
    const previous = this.#recent.at(-1);
    if (previous !== undefined && i - 1 < this.#retrieval) {
      this.#before = Math.max(this.#before, previous);
      this.#sumBefore += previous;
    }
    this.#recent.push(c);
    if (this.#recent.length > REACH + 1) this.#recent.shift();
    if (Math.abs(i - this.#needle) <= REACH) this.#atNeedle = Math.max(this.#atNeedle, c);
    if (c > this.#most) [this.#most, this.#peak] = [c, i];
    this.#least = Math.min(this.#least, c);
    this.#sum += c;
    if (c > 0) this.#information += c * Math.log(c);
  }

  #normalised(c: number): number {
    return (c - this.#least) / (this.#most - this.#least + EPSILON);
  }
}

/** Returns the {@link Curvature} metrics of a whole trajectory `z [T, D]`. @throws ResonantError `model` if not finite */
export function phaseCurvature(z: Float32Array | Float64Array, options: CurvatureOptions): CurvatureMetrics {
  const curvature = new Curvature(options);
  curvature.add(z);
  return curvature.metrics();
}
