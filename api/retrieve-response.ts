import type { Match } from "../engine/retrieval/retrieval.ts";
import type { RetrieveResponse } from "./schemas/retrieve.ts";

/** What of a request the answer depends on. */
export interface RetrieveAsked {
  readonly needle: string;
  readonly retrieval_mode: string;
  readonly return_positions: boolean;
  readonly return_similarity_scores: boolean;
}

/** `POST /v1/retrieve`'s answer, and `resonant retrieve --json`'s, but for what is measured beside it. */
export function retrieveAnswer(
  asked: RetrieveAsked,
  matches: readonly Match[],
  milliseconds: number,
): RetrieveResponse {
  return {
    matches: matches.map(({ text, position, start, end, similarity, confidence }) => ({
      text,
      ...(asked.return_positions ? { position, start, end } : {}),
      ...(asked.return_similarity_scores ? { similarity } : {}),
      confidence,
    })),
    needle: asked.needle,
    retrieval_mode: asked.retrieval_mode,
    timing_ms: milliseconds,
  };
}
