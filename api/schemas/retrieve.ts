import * as v from "valibot";
import { flag, integer, object, picklist, text, whole } from "./fields.ts";
import type { Limits } from "./limits.ts";

/** Body of `POST /v1/retrieve`, as the contract has it. */
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
      },
      "a JSON object",
    ),
    v.title("RetrieveRequest"),
  );

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
  }),
  v.title("RetrieveResponse"),
);

export type RetrieveResponse = v.InferOutput<typeof retrieveResponse>;
