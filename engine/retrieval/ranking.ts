import { LAGS, readScore } from "../../kernels/lag-alignment/lag-alignment.ts";
import { Background } from "./background.ts";
import { type Peak, Peaks } from "./peaks.ts";
import type { ProfileBuilder } from "./profile.ts";

/** What a context's scores for one cue come to: the best places, and how they stand out. Its size is fixed. */
export class Ranking {
  readonly #length: number;
  readonly #background: Background;
  readonly #peaks: Peaks;

  /**
   * @param length tokens of the cue
   * @param segments into which it is cut
   * @param capacity the most peaks kept
   */
  constructor(length: number, segments: number, capacity: number) {
    this.#background = new Background(segments);
    this.#length = length;
    this.#peaks = new Peaks(capacity);
  }

  /** Most bytes of the numbers that it keeps. */
  get bytes(): number {
    return 4 * this.#background.numbers + 8 * this.#peaks.numbers(this.#length + LAGS);
  }

  /** Best first. */
  get peaks(): readonly Peak[] {
    return this.#peaks.best;
  }

  /**
   * Takes the scores of the positions from `first` on.
   * @param end tokens of the context, where that is known: a cue may not start so late that more than lags of it hang over
   * @param profile told of each of them too
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

  /** The context has ended. */
  finish(): void {
    this.#peaks.finish();
  }

  /** How far a similarity stands out of this context's background: see {@link Background}. */
  confidence(similarity: number): number {
    return this.#background.confidence(similarity);
  }
}
