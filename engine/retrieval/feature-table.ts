import { lengthOf } from "../../common/length.ts";
import { planarWidth, toPlanar } from "../../kernels/memory-window/memory-window.ts";
import type { Gpu } from "../device/gpu.ts";
import type { Weights } from "../weights.ts";
import { tokenFeatures } from "./features.ts";
import type { FeatureModel } from "./retrieval-model.ts";

/** The size of the table on the GPU, in bytes: 32,768 tokens for D = 256. */
const ROOM = 32 * 2 ** 20;

/** The maximum sample of evenly spaced tokens whose mean feature replaces that of the vocabulary. */
const SAMPLE = 512;

/** The fraction that remains of the difference between a token and its lower case: enough to tell them apart. */
export const CASE_SHARE = 0.25;

/** The slot of the zero feature, for the silence before and after a text. */
export const SILENCE = 0;

/**
 * The features that drive the windowed memories. For each token, e = unit((1 − ρ) · unit(u(lower) − ū) + ρ · unit(u − ū)), where u is its
 * feature (see `tokenFeatures`), `lower` the token of the same text in lower case if there is one, ū the mean over the
 * vocabulary and ρ {@link CASE_SHARE}. Features are centred, because a common part does not distinguish tokens; scaled to
 * length 1, because those of frequent tokens are up to four times as long; and folded over letter case.
 *
 * The table on the GPU, `[slots, W]` (see `planarWidth`), is filled as tokens occur. If the vocabulary does not fit, the
 * table is cleared when it is full, so its size does not depend on the text.
 */
export class FeatureTable {
  /** `[slots, W]`. */
  readonly buffer: GPUBuffer;
  /** The maximum number of different tokens in the table. */
  readonly capacity: number;
  /** The maximum number of tokens per call. */
  readonly most: number;
  readonly #gpu: Gpu;
  readonly #weights: Weights;
  readonly #fold: (token: number) => number;
  readonly #slots = new Map<number, number>();
  #mean: Float64Array | undefined;
  /** Ends when the last queued user of the table is done. */
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
   * Calls `use` with the slots of `tokens` when nothing else uses the table. The features are valid for all work that `use`
   * submits before it returns.
   * @param tokens at most {@link capacity} different ones
   * @throws ResonantError `invalid_argument` for a token that the model lacks, `model` if a feature is not finite; the
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

/** Returns the feature table of a model. Created once, and kept as long as its weights and tokenizer. */
export function featuresOf(model: FeatureModel): FeatureTable {
  const tables = known.get(model.weights) ?? new WeakMap<object, FeatureTable>();
  known.set(model.weights, tables);
  const key = model.tokenizer ?? model.weights;
  const features = tables.get(key) ?? new FeatureTable(model);
  tables.set(key, features);
  return features;
}

const minus = (u: Float32Array, mean: Float64Array): Float64Array => mean.map((value, d) => u[d]! - value);

/** Scales to length 1. Zeros remain zeros. */
function unit(values: Float64Array): Float64Array {
  const length = lengthOf(values);
  return length > 0 ? values.map((value) => value / length) : values;
}

/** Returns a map from a token to that of its text in lower case, or to itself if there is none or no tokenizer. */
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
