import { retrieve } from "../../engine/retrieval/retrieval.ts";
import { post } from "../operation.ts";
import { type RetrieveResponse, retrieveRequest, retrieveResponse } from "../schemas/retrieve.ts";

/** `POST /v1/retrieve`. */
export const retrieveOperation = post({
  path: "/v1/retrieve",
  id: "retrieve",
  tag: "Retrieval",
  summary: "Find a needle in a context by resonance",
  body: retrieveRequest,
  example: () => ({ context: "Long text. The answer is 42. More text.", needle: "answer is 42", top_k: 3 }),
  answer: retrieveResponse,
  guarded: true,
  handle: async (c, service, request) => {
    const { model } = service;
    const signal = c.get("signal");
    const [place] = service.admission.admit();
    try {
      await place!.turn(signal);
      const start = performance.now();
      const { matches } = await retrieve(model, {
        context: request.context,
        needle: request.needle,
        ...(typeof request.query === "string" ? { query: request.query } : {}),
        mode: request.retrieval_mode as "pvm" | "plm" | "hybrid",
        topK: request.top_k,
        signal,
      });
      const answer: RetrieveResponse = {
        matches: matches.map(({ text, position, start, end, similarity, confidence }) => ({
          text,
          ...(request.return_positions ? { position, start, end } : {}),
          ...(request.return_similarity_scores ? { similarity } : {}),
          confidence,
        })),
        needle: request.needle,
        retrieval_mode: request.retrieval_mode,
        timing_ms: performance.now() - start,
      };
      return c.json(answer);
    } finally {
      place!.leave();
    }
  },
});
