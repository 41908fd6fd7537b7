import { planarWidth, toPlanar } from "../../kernels/memory-window/memory-window.ts";
import type { Gpu } from "../device/gpu.ts";
import type { Weights } from "../weights.ts";
import { tokenFeatures } from "./features.ts";
import type { FeatureModel } from "./retrieval-model.ts";

/** Room for features on the GPU, in bytes: 32,768 tokens of D 256. */
const ROOM = 32 * 2 ** 20;

/** Most tokens whose mean feature stands for the vocabulary's, evenly spaced in it. */
const SAMPLE = 512;

/** What is left of the difference between a token and the same in lower case: enough to tell equal from alike. */
export const CASE_SHARE = 0.25;

/** The slot of silence, before and after a text: a feature of zeros. */
export const SILENCE = 0;

/**
 * What drives the windowed memories: for each token e = unit((1 − ρ) · unit(u(lower) − ū) + ρ · unit(u − ū)), where u is its
 * feature (see `tokenFeatures`), `lower` the same text in lower case where that is a token too, ū the vocabulary's mean
 * and ρ {@link CASE_SHARE}. Features are centred, for what all tokens share tells none from another; of length 1, for
 * frequent tokens' are up to four times as long as others'; and folded over letter case.
 *
 * A table on the GPU, `[slots, W]` (see `planarWidth`), of the tokens that have occurred, filled as they do. Where it has no room for the
 * whole vocabulary it is emptied when it is full, so that its size does not depend on what goes by.
 */
export class FeatureTable {
  /** `[slots, W]`. */
  readonly buffer: GPUBuffer;
  /** Most different tokens at once. */
  readonly capacity: number;
  /** Most tokens at once. */
  readonly most: number;
  readonly #gpu: Gpu;
  readonly #weights: Weights;
  readonly #fold: (token: number) => number;
  readonly #slots = new Map<number, number>();
  #mean: Float64Array | undefined;
  /** What uses the table does so in turn. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(model: FeatureModel) {
    const { gpu, weights } = model;
    const { rows: vocabulary, columns: size } = weights.embed;
    const width = planarWidth(size);
    this.#gpu = gpu;
    this.#weights = weights;
    this.#fold = caseFolding(model, vocabulary);
    this.capacity = Math.max(1, Math.min(vocabulary, Math.floor(ROOM / (4 * width)) - 1));
    this.most = this.capacity < vocabulary ? this.capacity : Number.POSITIVE_INFINITY;
    this.buffer = gpu.storage("retrieval features", 4 * (this.capacity + 1) * width);
  }

  /**
   * Calls `use` with the slots of `tokens`, when nothing else uses the table; their features are there for whatever it
   * submits before it returns.
   * @param tokens at most {@link capacity} different ones
   * @throws ResonantError `invalid_argument` for a token the model lacks, `model` where a feature is not finite; the
   * signal's reason
   */
  with<T>(
    tokens: ArrayLike<number>,
    use: (slots: Uint32Array<ArrayBuffer>) => T,
    signal?: AbortSignal,
  ): Promise<T> {
    const turn = this.#turn.then(async () => {
      await this.#fill(new Set(Array.from(tokens)), signal);
      return use(Uint32Array.from(tokens, (token) => this.#slots.get(token)!));
    });
    this.#turn = turn.catch(() => {});
    return turn;
  }

  async #fill(tokens: ReadonlySet<number>, signal: AbortSignal | undefined): Promise<void> {
    const slots = this.#slots;
    let missing = [...tokens].filter((token) => !slots.has(token));
    if (missing.length === 0) return;
    if (slots.size + missing.length > this.capacity) {
      slots.clear();
      missing = [...tokens];
    }
    const mean = await this.#vocabularyMean(signal);
    const features = await tokenFeatures(
      this.#gpu,
      this.#weights,
      missing.flatMap((token) => [token, this.#fold(token)]),
      signal,
    );
    const width = planarWidth(mean.length);
    const rows = new Float32Array(missing.length * width);
    missing.forEach((token, row) => {
      const own = unit(minus(features.get(token)!, mean));
      const lower = unit(minus(features.get(this.#fold(token))!, mean));
      const feature = unit(own.map((value, d) => (1 - CASE_SHARE) * lower[d]! + CASE_SHARE * value));
      rows.set(toPlanar(feature), row * width);
    });
    const first = slots.size + 1;
    this.#gpu.device.queue.writeBuffer(this.buffer, 4 * first * width, rows);
    missing.forEach((token, row) => {
      slots.set(token, first + row);
    });
  }

  async #vocabularyMean(signal: AbortSignal | undefined): Promise<Float64Array> {
    if (this.#mean) return this.#mean;
    const { rows: vocabulary, columns: size } = this.#weights.embed;
    const count = Math.min(vocabulary, SAMPLE);
    const sample = Array.from({ length: count }, (_, i) => Math.floor((i * vocabulary) / count));
    const features = await tokenFeatures(this.#gpu, this.#weights, sample, signal);
    const mean = new Float64Array(size);
    for (const token of sample) {
      features.get(token)!.forEach((value, d) => {
        mean[d]! += value / count;
      });
    }
    this.#mean = mean;
    return mean;
  }
}

const known = new WeakMap<Weights, WeakMap<object, FeatureTable>>();

/** The features of a model's tokens: made once, and kept with its weights and tokenizer. */
export function featuresOf(model: FeatureModel): FeatureTable {
  const tables = known.get(model.weights) ?? new WeakMap<object, FeatureTable>();
  known.set(model.weights, tables);
  const key = model.tokenizer ?? model.weights;
  const features = tables.get(key) ?? new FeatureTable(model);
  tables.set(key, features);
  return features;
}

const minus = (u: Float32Array, mean: Float64Array): Float64Array => mean.map((value, d) => u[d]! - value);

/** Scaled to length 1; zeros stay. */
function unit(values: Float64Array): Float64Array {
  const length = Math.hypot(...values);
  return length > 0 ? values.map((value) => value / length) : values;
}

/** The token of a token's text in lower case; itself where there is none, or no tokenizer. */
function caseFolding(
  { tokenizer }: Pick<FeatureModel, "tokenizer">,
  vocabulary: number,
): (token: number) => number {
  if (!tokenizer) return (token) => token;
  let byText: Map<string, number> | undefined;
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  const textOf = (token: number): string | undefined => {
    if (tokenizer.specialIds.has(token)) return undefined;
    try {
      return decoder.decode(tokenizer.bytes(token));
    } catch {
      return undefined; // part of a character
    }
  };
  return (token) => {
    const text = textOf(token);
    const lower = text?.toLowerCase();
    if (lower === undefined || lower === text) return token;
    if (!byText) {
      byText = new Map();
      for (let id = vocabulary - 1; id >= 0; id--) {
        const own = textOf(id);
        if (own !== undefined && own !== "") byText.set(own, id);
      }
    }
    return byText.get(lower) ?? token;
  };
}
