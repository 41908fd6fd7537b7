/** A cosine this close to 1 is the cue itself, not background. */
const EXACT = 1 - 1e-5;

/** Fisher's transform of a cosine. It spreads values above 0.9, and its variance depends little on the mean. */
const fisher = (similarity: number): number => Math.atanh(Math.min(EXACT, Math.max(-EXACT, similarity)));

/** Bins of equal width for similarities from −1 to 1. */
const BINS = 4096;

/** The prior for short contexts: it counts like this many windows with this median. */
const PRIOR = { windows: 32, median: 0.5 } as const;

/**
 * The minimum scale of the tail, for a cue of n segments: few windows do not show the length of a tail, and a mean of many
 * cosines has a shorter one. Chosen on English text and random bytes, with contexts of 256 to 131,072 bytes and cues of 16
 * and 48. The best match of an absent cue has a confidence below 0.06 in all but the longest contexts, and that of a cue with
 * one inserted byte above 0.9.
 */
const leastScale = (segments: number): number => Math.max(0.05, 0.2 / Math.sqrt(segments));

/** The quantiles to estimate the tail from. Each is used only if enough windows are above it. */
const LEVELS = [0.75, 0.9, 0.99, 0.999, 0.9999];
const ENOUGH = 10;

/** A score that a background reaches once in this many contexts has a confidence of 0.5. */
const ODDS = 20;

/**
 * The distribution of the similarities of a context, as a histogram of fixed size, and the confidence of a score against it.
 *
 * After Fisher's transform x = artanh s, the upper tail is modelled as exponential, P(x) = ½ e^{−(x − median)/scale}. This
 * fits language, where phrases share more and more with the cue; noise has a shorter tail. The scale is that of the widest
 * line from the median through a high quantile, which few hits cannot move. The mean of it and the minimum scale is used, so
 * that a cue of frequent phrases does not hide its own damaged copy. Of n positions, E = n·P(x) are expected to reach x (an
 * e-value, Karlin and Altschul 1990). The confidence is 1 / (1 + 20·E): 0.5 for a score that a background alone reaches once
 * in 20 contexts, and about 0.05 for the best window of a purely exponential tail if the cue is absent. A window equal to
 * the cue has a confidence of 1.
 */
export class Background {
  readonly #bins = new Uint32Array(BINS);
  readonly #leastScale: number;
  #windows = 0;
  #shown = 0;

  /** @param segments the number of segments: a similarity is the mean of their cosines */
  constructor(segments: number) {
    this.#leastScale = leastScale(segments);
  }

  /** The fixed count of numbers that it keeps. */
  get numbers(): number {
    return this.#bins.length;
  }

  add(similarity: number): void {
    this.#windows++;
    if (similarity >= EXACT) return;
    this.#shown++;
    this.#bins[Math.floor(((similarity + 1) / 2) * BINS)]!++;
  }

  /** Returns the confidence in [0, 1] that a window of this similarity is not background. */
  confidence(similarity: number): number {
    if (similarity >= EXACT) return 1;
    const { median, scale } = this.#fit();
    const expected = 0.5 * this.#windows * Math.exp((median - fisher(similarity)) / scale);
    return 1 / (1 + ODDS * expected);
  }

  #fit(): { median: number; scale: number } {
    const shown = this.#shown;
    const median = shown > 0 ? this.#quantile(0.5) : PRIOR.median;
    const scales = LEVELS.filter((level) => shown * (1 - level) >= ENOUGH).map(
      (level) => (this.#quantile(level) - median) / Math.log(0.5 / (1 - level)),
    );
    const { windows } = PRIOR;
    return {
      median: (shown * median + windows * PRIOR.median) / (shown + windows),
      scale: (this.#leastScale + Math.max(this.#leastScale, ...scales)) / 2,
    };
  }

  #quantile(level: number): number {
    let above = this.#shown * (1 - level);
    let bin = BINS;
    while (bin > 0 && above >= 0) above -= this.#bins[--bin]!;
    return fisher(((bin + 0.5) / BINS) * 2 - 1);
  }
}
