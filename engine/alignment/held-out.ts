import type { Gpu } from "../device/gpu.ts";
import type { Weights } from "../weights.ts";
import type { Embeddings } from "./embeddings.ts";
import { TokenRanking } from "./token-ranking.ts";

/** The quality of an alignment on text that it was not fitted to, with baselines that do not use the model. */
export interface HeldOut {
  readonly tokens: number;
  /** ‖E − ZW‖ / ‖E‖. */
  readonly residual: number;
  /** The same with the mean embedding of the fitted text instead of ZW. */
  readonly meanResidual: number;
  /** How often the aligned readout ranks the next token first, and among the first five. */
  readonly top1: number;
  readonly top5: number;
  /** How often the next token is the most frequent of the fitted text, and among its five most frequent. */
  readonly baselineTop1: number;
  readonly baselineTop5: number;
}

/** Measures an alignment, block by block. */
export class HeldOutScore {
  /** W, `[D, D]`. */
  readonly #weights: Float32Array;
  readonly #embeddings: Embeddings;
  readonly #ranking: TokenRanking;
  /** `[D]`. */
  readonly #mean: Float64Array;
  readonly #frequent: readonly number[];
  readonly #sums = { tokens: 0, error: 0, meanError: 0, square: 0, top1: 0, top5: 0, first: 0, five: 0 };

  /**
   * @param alignment W `[D, D]`
   * @param fitted the tokens whose embeddings it was fitted to
   */
  constructor(
    gpu: Gpu,
    weights: Weights,
    alignment: Float32Array,
    embeddings: Embeddings,
    fitted: Uint32Array,
  ) {
    const { size } = embeddings;
    this.#weights = alignment;
    this.#embeddings = embeddings;
    this.#ranking = new TokenRanking(gpu, weights);
    const counts = new Map<number, number>();
    for (const token of fitted) counts.set(token, (counts.get(token) ?? 0) + 1);
    const order = [...counts].sort(([a, often], [b, seldom]) => seldom - often || a - b);
    this.#frequent = order.slice(0, 5).map(([token]) => token);
    this.#mean = new Float64Array(size);
    for (const [token, count] of counts) {
      embeddings.row(token).forEach((value, d) => {
        this.#mean[d]! += (value * count) / fitted.length;
      });
    }
  }

  /**
   * Adds rows.
   * @param z readouts, `[rows, D]`
   * @param next the tokens that came after them, `[rows]`
   */
  async add(z: Float32Array, next: Uint32Array): Promise<void> {
    const sums = this.#sums;
    const e = this.#embeddings.stack(next);
    const aligned = align(z, this.#weights, this.#embeddings.size);
    for (let i = 0; i < e.length; i++) {
      sums.error += (e[i]! - aligned[i]!) ** 2;
      sums.meanError += (e[i]! - this.#mean[i % this.#mean.length]!) ** 2;
      sums.square += e[i]! ** 2;
    }
    const ranked = await this.#ranking.rank(aligned);
    next.forEach((token, row) => {
      sums.tokens += 1;
      sums.top1 += Number(ranked[row]?.[0] === token);
      sums.top5 += Number(ranked[row]?.includes(token));
      sums.first += Number(this.#frequent[0] === token);
      sums.five += Number(this.#frequent.includes(token));
    });
  }

  get result(): HeldOut {
    const { tokens, error, meanError, square, top1, top5, first, five } = this.#sums;
    return {
      tokens,
      residual: Math.sqrt(error / square),
      meanResidual: Math.sqrt(meanError / square),
      top1: top1 / tokens,
      top5: top5 / tokens,
      baselineTop1: first / tokens,
      baselineTop5: five / tokens,
    };
  }

  destroy(): void {
    this.#ranking.destroy();
  }
}

/** Z W: `z [rows, D]`, `weights [D, D]`, the result `[rows, D]`; sums in f64. */
function align(z: Float32Array, weights: Float32Array, size: number): Float32Array<ArrayBuffer> {
  const out = new Float32Array(z.length);
  const sum = new Float64Array(size);
  for (let base = 0; base < z.length; base += size) {
    sum.fill(0);
    for (let i = 0; i < size; i++) {
      const value = z[base + i]!;
      const row = i * size;
      for (let d = 0; d < size; d++) sum[d]! += value * weights[row + d]!;
    }
    out.set(sum, base);
  }
  return out;
}
