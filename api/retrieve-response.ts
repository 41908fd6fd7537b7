import {
  type RetrievalDiagnosticsOptions,
  retrievalDiagnostics,
} from "../engine/diagnostics/retrieval-diagnostics.ts";
import type { Match, Retrieval, RetrievalMode, RetrievalModel } from "../engine/retrieval/retrieval.ts";
import { memoryStatsOf, retrievalPhaseMetricsOf } from "./contract.ts";
import type { RetrieveResponse } from "./schemas/retrieve.ts";

/** What of a request the answer depends on. */
export interface RetrieveAsked {
  readonly needle: string;
  readonly retrieval_mode: string;
  readonly return_positions: boolean;
  readonly return_similarity_scores: boolean;
}

/** What of a request decides what is measured. */
export interface MeasuresAsked {
  readonly return_phase_metrics: boolean;
  readonly return_memory_stats: boolean;
}

/** What was measured of a retrieval, where it was asked for. */
export type RetrievalMeasures = Pick<RetrieveResponse, "phase_metrics" | "memory_stats">;

/** Whether a retrieval must keep the context's tokens, for {@link measureRetrieval}. */
export const measures = (asked: MeasuresAsked): boolean =>
  asked.return_phase_metrics || asked.return_memory_stats;

/**
 * What is asked for of a retrieval's diagnostics.
 * @param retrieval with the context's tokens, if {@link measures} says so
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

/** `POST /v1/retrieve`'s answer, and `resonant retrieve --json`'s. */
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
