import * as v from "valibot";
import { flag, integer, object, picklist, text, whole } from "./fields.ts";
import { memoryStats, phaseMetrics } from "./generate.ts";
import type { Limits } from "./limits.ts";

/** Body of `POST /v1/retrieve`. The contract defines fields, defaults and ranges; the last two fields are our own. */
export const retrieveRequest = (limits: Limits) =>
  v.pipe(
    object(
      {
        context: text(1, limits.contextChars, "Text to search"),
        needle: text(1, limits.promptChars, "Text to find"),
        query: v.nullish(text(1, limits.promptChars, "Text to search for instead of the needle")),
        retrieval_mode: v.optional(
          picklist(
            limits.retrievalModes,
            "The memory that is compared: vector (`pvm`), lattice (`plm`) or both (`hybrid`)",
          ),
          limits.retrievalModes[0],
        ),
        top_k: v.optional(integer(1, 100, "Maximum number of matches to return"), 5),
        return_positions: v.optional(flag("Return the position of each match"), true),
        return_similarity_scores: v.optional(flag("Return the similarity of each match"), true),
        return_phase_metrics: v.optional(
          flag("Return phase metrics of the memory that reads the context"),
          false,
        ),
        return_memory_stats: v.optional(
          flag("Return statistics of the memories that read the context"),
          false,
        ),
      },
      "a JSON object",
    ),
    v.title("RetrieveRequest"),
  );

const defined = (what: string) =>
  v.pipe(
    v.nullable(v.number()),
    v.description(`${what}; null if the trajectory is too short or has no curvature`),
  );

/** Curvature c of the trajectory z of the memory over tokens: c[i] = ‖z[i+2] − 2z[i+1] + z[i]‖. */
const curvature = v.pipe(
  v.object({
    curv_peak_at_needle: defined(
      "Largest curvature within 4 tokens of the best match's first token, normalised to 0…1",
    ),
    curv_peak_before_needle: defined("Largest curvature before the cue, normalised to 0…1"),
    curv_traj_len: v.pipe(whole, v.description("Number of tokens of context and cue")),
    curv_peak_idx: defined("Index of the largest curvature"),
    curv_peak_offset_from_retrieval: defined(
      "Index of the largest curvature minus index of the cue's first token",
    ),
    curv_peak_at_needle_binary: defined(
      "1 if the largest curvature is within 4 tokens of the best match's first token, else 0",
    ),
    curv_pre_peak_fraction: defined("Share of the total curvature that lies before the cue"),
    curv_entropy: defined(
      "Entropy of the curvature's distribution over tokens, as a share of its maximum, 0 to 1",
    ),
  }),
  v.title("PhaseCurvature"),
);

const { pvm_mem_norm, pvm_gate_strength, plm_coherence } = memoryStats.entries;

export const retrieveResponse = v.pipe(
  v.object({
    matches: v.array(
      v.object({
        text: v.string(),
        position: v.optional(v.pipe(whole, v.description("Index of the match's first token"))),
        start: v.optional(
          v.pipe(whole, v.description("Index of the match's first character, in UTF-16 units")),
        ),
        end: v.optional(
          v.pipe(whole, v.description("Index after the match's last character, in UTF-16 units")),
        ),
        similarity: v.optional(v.pipe(v.number(), v.description("Cosine similarity; 1 for equal tokens"))),
        confidence: v.pipe(
          v.number(),
          v.description("How clearly the match stands out from this context, 0 to 1"),
        ),
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
          total_memory_kb: v.pipe(
            v.number(),
            v.description("Working memory of the search without the model, in KiB"),
          ),
        }),
        v.title("RetrievalMemoryStats"),
      ),
    ),
  }),
  v.title("RetrieveResponse"),
);

export type RetrieveResponse = v.InferOutput<typeof retrieveResponse>;
