/** A needle to search for. */
export interface Needle {
  /** Token ids. */
  readonly tokens: readonly number[];
}

/** A possible position of a needle. */
export interface Hit {
  /** Index of its first token in the context. */
  readonly position: number;
  /** Number of tokens. */
  readonly length: number;
  readonly similarity: number;
  /** Higher if the needle is more likely to be there; comparable only within one searcher. */
  readonly confidence: number;
}

export interface SearchResult {
  /** The hits of each needle, best first; empty if nothing is similar. */
  readonly hits: readonly (readonly Hit[])[];
  /** Milliseconds of the search for all needles together, without the time of `indexMs`. */
  readonly ms: number;
  /**
   * Maximum bytes of working memory, without the context and data that exists before any search. Valid only for a search for
   * one needle; with more needles it may be 0.
   */
  readonly workingBytes: number;
  /** Milliseconds of preparation that is done once per context, or per needle, before the search. Default 0. */
  readonly indexMs?: number;
}

/** Finds needles in a context of tokens. */
export interface Searcher {
  readonly name: string;
  /**
   * Returns the best `topK` hits of every needle in a context of token ids. The benchmark passes the same two array objects to
   * all searchers, so that several searchers can share one pass.
   */
  search(context: Uint32Array, needles: readonly Needle[], topK: number): Promise<SearchResult>;
}
