import { LAGS, readScore } from "../../kernels/lag-alignment/lag-alignment.ts";
import { Background } from "./background.ts";
import { type Peak, Peaks } from "./peaks.ts";
import type { ProfileBuilder } from "./profile.ts";

/** The ranking of a context for one cue: the best places and the background. Its size is fixed. */
export class Ranking {
  readonly #length: number;
  readonly #background: Background;
  readonly #peaks: Peaks;

  /**
   * @param length the number of tokens in the cue
   * @param segments the number of segments of the cue
   * @param capacity the maximum number of peaks kept
   */
  constructor(length: number, segments: number, capacity: number) {
    this.#background = new Background(segments);
    this.#length = length;
    this.#peaks = new Peaks(capacity);
  }

  /** The maximum bytes of its numbers. */
  get bytes(): number {
    return 4 * this.#background.numbers + 8 * this.#peaks.numbers(this.#length + LAGS);
  }

  /** Best first. */
  get peaks(): readonly Peak[] {
    return this.#peaks.best;
  }

  /**
   * Adds the scores of the positions from `first` on.
   * @param end the number of tokens in the context, if known. A match may exceed the end only by lags
   * @param profile also receives each score
   */
  add(
    first: number,
    scores: Uint32Array,
    end = Number.POSITIVE_INFINITY,
    profile: ProfileBuilder | undefined = undefined,
  ): void {
    const length = this.#length;
    const last = Math.max(0, end - length + LAGS);
    const count = Math.min(scores.length, last - first + 1, end - first);
    for (let i = 0; i < count; i++) {
      const { similarity, lag } = readScore(scores[i]!);
      this.#background.add(similarity);
      profile?.add(first + i, similarity);
      this.#peaks.add(first + i, Math.max(1, Math.min(length + lag, end - first - i)), similarity);
    }
  }

  /** Ends the context. */
  finish(): void {
    this.#peaks.finish();
  }

  /** How clearly a similarity exceeds the background of this context: see {@link Background}. */
  confidence(similarity: number): number {
    return this.#background.confidence(similarity);
  }
}
