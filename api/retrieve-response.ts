import {
  type RetrievalDiagnosticsOptions,
  retrievalDiagnostics,
} from "../engine/diagnostics/retrieval-diagnostics.ts";
import type { Match, Retrieval, RetrievalMode, RetrievalModel } from "../engine/retrieval/retrieval.ts";
import { memoryStatsOf, retrievalPhaseMetricsOf } from "./contract.ts";
import type { RetrieveResponse } from "./schemas/retrieve.ts";

/** The fields of a request that the answer depends on. */
export interface RetrieveAsked {
  readonly needle: string;
  readonly retrieval_mode: string;
  readonly return_positions: boolean;
  readonly return_similarity_scores: boolean;
}

/** The fields of a request that choose what is measured. */
export interface MeasuresAsked {
  readonly return_phase_metrics: boolean;
  readonly return_memory_stats: boolean;
}

/** The measurements of a retrieval that were requested. */
export type RetrievalMeasures = Pick<RetrieveResponse, "phase_metrics" | "memory_stats">;

/** Returns whether anything is measured: then the retrieval must keep the context's tokens for {@link measureRetrieval}. */
export const measures = (asked: MeasuresAsked): boolean =>
  asked.return_phase_metrics || asked.return_memory_stats;

/**
 * Returns the requested measurements of a retrieval.
 * @param retrieval must have the context's tokens if {@link measures} returns true
 */
export async function measureRetrieval(
  model: RetrievalModel,
  asked: MeasuresAsked,
  { matches, cue, contextTokens, workingBytes }: Retrieval,
  options: { readonly mode: RetrievalMode } & Pick<RetrievalDiagnosticsOptions, "signal" | "onProgress">,
): Promise<RetrievalMeasures> {
  if (!contextTokens || !measures(asked)) return {};
  const { phase, memory } = await retrievalDiagnostics(model, {
    ...options,
    tokens: contextTokens,
    cue,
    position: matches[0]!.position,
    memoryBytes: workingBytes,
  });
  return {
    ...(asked.return_phase_metrics ? { phase_metrics: retrievalPhaseMetricsOf(phase) } : {}),
    ...(asked.return_memory_stats ? { memory_stats: memoryStatsOf(memory) } : {}),
  };
}

/** Returns the answer of `POST /v1/retrieve` and of `resonant retrieve --json`. */
export function retrieveAnswer(
  asked: RetrieveAsked,
  matches: readonly Match[],
  measured: RetrievalMeasures,
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
    ...measured,
  };
}
