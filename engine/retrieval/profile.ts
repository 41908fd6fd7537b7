import { ResonantError } from "../../common/errors.ts";

/** Similarity along a text, cut into parts of equal numbers of tokens (the last may have fewer). */
export interface Profile {
  /** UTF-16 offset at which each part begins, `[parts]`. */
  readonly offsets: Float64Array;
  /** The similarity of the best match that begins in each part, `[parts]`; NaN if the text ends too soon for a match. */
  readonly similarity: Float32Array;
}

/** The maximum number of parts. */
const MOST_PARTS = 65_536;

/**
 * Builds a {@link Profile} of a streamed text, in memory that depends only on the number of parts. The tokens per part are
 * a power of two. When there are too many parts, each pair of neighbours is merged.
 */
export class ProfileBuilder {
  readonly #offsets: Float64Array;
  readonly #similarity: Float32Array;
  /** Tokens per part. */
  #width = 1;
  #tokens = 0;

  /**
   * @param parts the maximum number of parts; a long text has more than half as many
   * @throws ResonantError `invalid_argument` naming `profile` if it is not a whole number from 1 to 65,536
   */
  constructor(parts: number) {
    if (!(Number.isInteger(parts) && parts >= 1 && parts <= MOST_PARTS)) {
      const message = `${parts} is no whole number from 1 to ${MOST_PARTS}`;
      throw new ResonantError("invalid_argument", message, { option: "profile" });
    }
    this.#offsets = new Float64Array(parts);
    this.#similarity = new Float32Array(parts).fill(Number.NaN);
  }

  /** The bytes of its numbers. */
  get bytes(): number {
    return this.#offsets.byteLength + this.#similarity.byteLength;
  }

  /** Adds the UTF-16 offsets of the next tokens. Call it before {@link add} for them. */
  push(starts: Float64Array): void {
    const first = this.#tokens;
    this.#tokens += starts.length;
    while (this.#tokens > this.#offsets.length * this.#width) this.#halve();
    const width = this.#width;
    for (let part = Math.ceil(first / width); part * width < this.#tokens; part++) {
      this.#offsets[part] = starts[part * width - first]!;
    }
  }

  /** Adds the similarity of a match that begins at token `position`. Any order, any cue. */
  add(position: number, similarity: number): void {
    const part = Math.floor(position / this.#width);
    const best = this.#similarity[part]!;
    if (!(best >= similarity)) this.#similarity[part] = similarity;
  }

  /** The profile of the text so far. */
  get profile(): Profile {
    const parts = Math.ceil(this.#tokens / this.#width);
    return { offsets: this.#offsets.slice(0, parts), similarity: this.#similarity.slice(0, parts) };
  }

  #halve(): void {
    const [offsets, similarity] = [this.#offsets, this.#similarity];
    const half = Math.ceil(offsets.length / 2);
    for (let part = 0; part < half; part++) {
      const [a, b] = [similarity[2 * part]!, similarity[2 * part + 1] ?? Number.NaN];
      offsets[part] = offsets[2 * part]!;
      similarity[part] = a >= b || Number.isNaN(b) ? a : b;
    }
    similarity.fill(Number.NaN, half);
    this.#width *= 2;
  }
}
