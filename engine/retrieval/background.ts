/** A cosine this near to 1 is the cue itself, and no background. */
const EXACT = 1 - 1e-5;

/** Fisher's transform of a cosine: it has room above 0.9, and a spread that depends little on the mean. */
const fisher = (similarity: number): number => Math.atanh(Math.min(EXACT, Math.max(-EXACT, similarity)));

/** Bins of equal width for similarities from −1 to 1. */
const BINS = 4096;

/** What a context too short to show its middle is taken to have, as if this many windows had shown it. */
const PRIOR = { windows: 32, median: 0.5 } as const;

/**
 * The least scale of the tail, for a cue of n segments: few windows do not show how long a tail is, and a mean of many
 * cosines has a shorter one. Chosen on English text and random bytes, contexts of 256 to 131,072 bytes and cues of 16 and
 * 48, so that an absent cue's best match has below 0.06 in all but the longest, and one with a byte inserted above 0.9.
 */
const leastScale = (segments: number): number => Math.max(0.05, 0.2 / Math.sqrt(segments));

/** Quantiles that may tell the tail, each where enough windows lie above it. */
const LEVELS = [0.75, 0.9, 0.99, 0.999, 0.9999];
const ENOUGH = 10;

/** A score that a background reaches once in so many contexts is worth a confidence of one half. */
const ODDS = 20;

/**
 * How the similarities of a context's positions lie, as a histogram of fixed size, and how far a score stands out of them.
 *
 * After Fisher's transform x = artanh s the upper tail is taken as exponential, as that of phrases which share more and
 * more with the cue is in a language; noise has a shorter one. P(x) = ½ e^{−(x − median)/scale}: its scale is that of the
 * widest line from the median through a high quantile, which few hits cannot move, and halfway from there to the least,
 * for a cue of frequent phrases must not hide its own damaged copy. Of n positions E = n·P(x) are then expected to reach x (an e-value, as of Karlin and Altschul 1990), and
 * the confidence is 1 / (1 + 20·E): one half for a score that a background alone reaches once in 20 such contexts, about
 * 0.05 for the best window of a purely exponential tail where the cue is absent. A window equal to the cue is certain: 1.
 */
export class Background {
  readonly #bins = new Uint32Array(BINS);
  readonly #leastScale: number;
  #windows = 0;
  #shown = 0;

  /** @param segments whose cosines a similarity is the mean of */
  constructor(segments: number) {
    this.#leastScale = leastScale(segments);
  }

  /** Numbers it keeps, whatever it was told. */
  get numbers(): number {
    return this.#bins.length;
  }

  add(similarity: number): void {
    this.#windows++;
    if (similarity >= EXACT) return;
    this.#shown++;
    this.#bins[Math.floor(((similarity + 1) / 2) * BINS)]!++;
  }

  /** How sure it is that a window of this similarity is not background, in [0, 1]. */
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
