/** What is looked for. */
export interface Needle {
  /** Ids. */
  readonly tokens: readonly number[];
}

/** A place where a needle may be. */
export interface Hit {
  /** Index of its first token in the context. */
  readonly position: number;
  /** Tokens. */
  readonly length: number;
  readonly similarity: number;
  /** The greater, the surer that the needle is there: compared only with those of the same searcher. */
  readonly confidence: number;
}

export interface Found {
  /** Of each needle its best places, best first; none where nothing is like it. */
  readonly hits: readonly (readonly Hit[])[];
  /** Milliseconds of all needles together, what is prepared of the context aside. */
  readonly ms: number;
  /**
   * Bytes held at the most, beside the context and what is there before any search. Read only where one needle was
   * given: with more it may be 0.
   */
  readonly workingBytes: number;
  /** Milliseconds of what is prepared once for a context, or for a needle, before it is searched. Default 0. */
  readonly indexMs?: number;
}

/** Something that finds needles in a haystack. */
export interface Searcher {
  readonly name: string;
  /**
   * Every needle's best `topK` places in one context of token ids. The very same two arrays are given to each searcher
   * of a run in turn, so that several may share one pass.
   */
  search(context: Uint32Array, needles: readonly Needle[], topK: number): Promise<Found>;
}
