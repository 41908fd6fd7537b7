import { ResonantError } from "../../common/errors.ts";

/** Similarity along a text, cut into parts of equally many tokens (the last may have fewer). */
export interface Profile {
  /** UTF-16 offset at which each part begins, `[parts]`. */
  readonly offsets: Float64Array;
  /** That of the best match that begins in each part, `[parts]`; NaN where none may, too near to the text's end. */
  readonly similarity: Float32Array;
}

/** Most parts that may be asked for. */
const MOST_PARTS = 65_536;

/**
 * Makes a {@link Profile} of a text that goes by, in memory that depends on the parts alone: a part has a power of two of
 * tokens, and when there are more parts than were asked for, neighbours become one.
 */
export class ProfileBuilder {
  readonly #offsets: Float64Array;
  readonly #similarity: Float32Array;
  /** Tokens of a part. */
  #width = 1;
  #tokens = 0;

  /**
   * @param parts the most; of a long text there are more than half as many
   * @throws ResonantError `invalid_argument` naming `profile` if that is no whole number from 1 to 65,536
   */
  constructor(parts: number) {
    if (!(Number.isInteger(parts) && parts >= 1 && parts <= MOST_PARTS)) {
      const message = `${parts} is no whole number from 1 to ${MOST_PARTS}`;
      throw new ResonantError("invalid_argument", message, { option: "profile" });
    }
    this.#offsets = new Float64Array(parts);
    this.#similarity = new Float32Array(parts).fill(Number.NaN);
  }

  /** Bytes of the numbers that it keeps. */
  get bytes(): number {
    return this.#offsets.byteLength + this.#similarity.byteLength;
  }

  /** Takes the UTF-16 offsets of the next tokens, which come before their similarities. */
  push(starts: Float64Array): void {
    const first = this.#tokens;
    this.#tokens += starts.length;
    while (this.#tokens > this.#offsets.length * this.#width) this.#halve();
    const width = this.#width;
    for (let part = Math.ceil(first / width); part * width < this.#tokens; part++) {
      this.#offsets[part] = starts[part * width - first]!;
    }
  }

  /** Takes the similarity of a match that begins at a token, in any order, of any cue. */
  add(position: number, similarity: number): void {
    const part = Math.floor(position / this.#width);
    const best = this.#similarity[part]!;
    if (!(best >= similarity)) this.#similarity[part] = similarity;
  }

  /** Of the text so far. */
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
