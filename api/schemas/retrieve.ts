import * as v from "valibot";
import { flag, integer, object, picklist, text, whole } from "./fields.ts";
import { memoryStats, phaseMetrics } from "./generate.ts";
import type { Limits } from "./limits.ts";

/** Body of `POST /v1/retrieve`. Fields, defaults and ranges are the contract's; the last two are ours. */
export const retrieveRequest = (limits: Limits) =>
  v.pipe(
    object(
      {
        context: text(1, limits.contextChars, "Long text to search"),
        needle: text(1, limits.promptChars, "What to find"),
        query: v.nullish(text(1, limits.promptChars, "Searched for instead of the needle")),
        retrieval_mode: v.optional(
          picklist(limits.retrievalModes, "Which memory compares: the vector, the lattice, or both"),
          limits.retrievalModes[0],
        ),
        top_k: v.optional(integer(1, 100, "Most matches to return"), 5),
        return_positions: v.optional(flag("Give each match's position"), true),
        return_similarity_scores: v.optional(flag("Give each match's similarity"), true),
        return_phase_metrics: v.optional(
          flag("Measure the phases of the memory that reads the context"),
          false,
        ),
        return_memory_stats: v.optional(flag("Measure the memories that read the context"), false),
      },
      "a JSON object",
    ),
    v.title("RetrieveRequest"),
  );

const defined = (what: string) =>
  v.pipe(v.nullable(v.number()), v.description(`${what}; null where nothing bends`));

/** Of a trajectory z of tokens: c[i] = ‖z[i+2] − 2z[i+1] + z[i]‖. */
const curvature = v.pipe(
  v.object({
    curv_peak_at_needle: defined(
      "Largest curvature within 4 of the best match's first token, normalised to 0…1",
    ),
    curv_peak_before_needle: defined("Largest before the cue, normalised to 0…1"),
    curv_traj_len: v.pipe(whole, v.description("Tokens of context and cue")),
    curv_peak_idx: defined("Index i where c is largest"),
    curv_peak_offset_from_retrieval: defined("That, less where the cue begins"),
    curv_peak_at_needle_binary: defined("1 if that is within 4 of the best match's first token, else 0"),
    curv_pre_peak_fraction: defined("Share of the curvature's sum that is before the cue"),
    curv_entropy: defined("Entropy of the curvature over its sum, 0 to 1"),
  }),
  v.title("PhaseCurvature"),
);

const { pvm_mem_norm, pvm_gate_strength, plm_coherence } = memoryStats.entries;

export const retrieveResponse = v.pipe(
  v.object({
    matches: v.array(
      v.object({
        text: v.string(),
        position: v.optional(v.pipe(whole, v.description("First token of the match"))),
        start: v.optional(v.pipe(whole, v.description("First character (UTF-16)"))),
        end: v.optional(v.pipe(whole, v.description("One past its last character"))),
        similarity: v.optional(v.pipe(v.number(), v.description("Cosine, 1 for equal tokens"))),
        confidence: v.pipe(v.number(), v.description("How far it stands out of this context, 0 to 1")),
      }),
    ),
    needle: v.string(),
    retrieval_mode: v.string(),
    timing_ms: v.number(),
    phase_metrics: v.optional(
      v.pipe(
        v.object({ phase_coherence: phaseMetrics.entries.phase_coherence, plm_coherence, curvature }),
        v.title("RetrievalPhaseMetrics"),
      ),
    ),
    memory_stats: v.optional(
      v.pipe(
        v.object({
          pvm_mem_norm,
          pvm_gate_strength,
          plm_coherence,
          total_memory_kb: v.pipe(v.number(), v.description("What the search worked in, beside the model")),
        }),
        v.title("RetrievalMemoryStats"),
      ),
    ),
  }),
  v.title("RetrieveResponse"),
);

export type RetrieveResponse = v.InferOutput<typeof retrieveResponse>;
