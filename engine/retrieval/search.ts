import { ResonantError } from "../../common/errors.ts";
import { LAGS } from "../../kernels/lag-alignment/lag-alignment.ts";
import type { Weights } from "../weights.ts";
import { byRank, CHAIN_LENGTHS, type Peak } from "./peaks.ts";
import type { ProfileBuilder } from "./profile.ts";
import { Ranking } from "./ranking.ts";
import { Resonance, type Scores } from "./resonance.ts";
import { type FeatureModel, type RetrievalMode, retrievalModes } from "./retrieval-model.ts";

/** A peak, and the index of its cue. */
export interface Hit {
  readonly peak: Peak;
  readonly cue: number;
}

export interface SearchOptions {
  /** The tokens of each cue, at least one. */
  readonly cues: readonly (readonly number[])[];
  readonly modes: readonly RetrievalMode[];
  /** The maximum number of peaks kept for each cue and mode. */
  readonly capacity: number;
  /** Receives the similarities of each cue in each mode. The caller must give it the offsets of tokens before `push`. */
  readonly profile?: ProfileBuilder | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Compares a context, pushed in blocks of tokens, with cues. Its memory does not depend on the length of the context. */
export class Search {
  readonly #resonance: Resonance;
  readonly #modes: number;
  readonly #capacity: number;
  readonly #profile: ProfileBuilder | undefined;
  /** `[cues, modes]`. */
  readonly #rankings: readonly Ranking[];
  #tokens = 0;

  private constructor(resonance: Resonance, { cues, modes, capacity, profile }: SearchOptions) {
    this.#resonance = resonance;
    this.#modes = modes.length;
    this.#capacity = capacity;
    this.#profile = profile;
    this.#rankings = cues.flatMap((cue, index) =>
      modes.map(() => new Ranking(cue.length, resonance.segments[index]!, capacity)),
    );
  }

  /**
   * Opens a search with the memories of a model.
   * @throws ResonantError `invalid_argument` naming `mode` if the model lacks a memory, or for a token that it
   * lacks; `model` if a feature is not finite; the signal's reason, from `push` and `finish` too
   */
  static async open(model: FeatureModel, options: SearchOptions): Promise<Search> {
    for (const mode of options.modes) expectMemory(model.weights, mode);
    return new Search(await Resonance.open(model, options), options);
  }

  /** A peak that a push adds to {@link peaks} begins at most this many tokens before the first token of that push. */
  get reach(): number {
    // A position is compared once a cue's length has been read, and final once no better peak can overlap it.
    return (CHAIN_LENGTHS + 2) * (this.#resonance.longest + LAGS);
  }

  /** The bytes that it holds, on the GPU and on the host. */
  get bytes(): number {
    return this.#resonance.bytes + this.#rankings.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /**
   * Takes the next tokens of the context.
   * @param onCompared called from time to time with the number of positions compared so far
   */
  async push(tokens: Uint32Array, onCompared?: (positions: number) => void): Promise<void> {
    this.#tokens += tokens.length;
    await this.#resonance.push(tokens, (scores) => {
      this.#rank(scores);
      onCompared?.(scores.first + scores.count);
    });
  }

  /** Ends the context. Positions near its end are compared as if silence followed. */
  async finish(): Promise<void> {
    await this.#resonance.finish((scores) => this.#rank(scores, this.#tokens));
    for (const ranking of this.#rankings) ranking.finish();
  }

  /**
   * Returns the best peaks so far over all cues, best first. They do not overlap. Of equal peaks, the first cue wins.
   * @param mode index of the mode
   */
  peaks(mode = 0): Hit[] {
    const ranked = this.#rankings
      .flatMap((ranking, column) =>
        column % this.#modes === mode
          ? ranking.peaks.map((peak): Hit => ({ peak, cue: Math.floor(column / this.#modes) }))
          : [],
      )
      .sort((a, b) => b.peak.similarity - a.peak.similarity || a.cue - b.cue || byRank(a.peak, b.peak));
    const taken: Hit[] = [];
    for (const candidate of ranked) {
      const { position, length } = candidate.peak;
      const free = taken.every(
        ({ peak }) => position >= peak.position + peak.length || peak.position >= position + length,
      );
      if (free) taken.push(candidate);
      if (taken.length === this.#capacity) break;
    }
    return taken;
  }

  /** Returns the ranking of a cue in a mode, by their indices. */
  ranking(cue: number, mode = 0): Ranking {
    return this.#rankings[cue * this.#modes + mode]!;
  }

  /** Frees its GPU memory. */
  close(): void {
    this.#resonance.destroy();
  }

  #rank({ first, count, scores }: Scores, end?: number): void {
    this.#rankings.forEach((ranking, column) => {
      ranking.add(first, scores.subarray(column * count, (column + 1) * count), end, this.#profile);
    });
  }
}

function expectMemory(weights: Weights, mode: RetrievalMode): void {
  const has = retrievalModes(weights);
  if (has.includes(mode)) return;
  throw new ResonantError("invalid_argument", `the model has no memory for ${JSON.stringify(mode)}`, {
    option: "mode",
    fix: has.length > 0 ? `Use ${has.join(", ")}` : "Use a model with a memory",
  });
}
