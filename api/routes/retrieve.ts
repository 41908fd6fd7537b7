import {
  type RetrievalDiagnostics,
  retrievalDiagnostics,
} from "../../engine/diagnostics/retrieval-diagnostics.ts";
import { retrieve } from "../../engine/retrieval/retrieval.ts";
import { post } from "../operation.ts";
import { retrieveAnswer } from "../retrieve-response.ts";
import { retrieveRequest, retrieveResponse } from "../schemas/retrieve.ts";

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
      const { context, needle, query } = request;
      const mode = request.retrieval_mode as "pvm" | "plm" | "hybrid";
      const { matches } = await retrieve(model, {
        context,
        needle,
        ...(typeof query === "string" ? { query } : {}),
        mode,
        topK: request.top_k,
        signal,
      });
      let diagnostics: Partial<RetrievalDiagnostics> = {};
      if (request.return_phase_metrics || request.return_memory_stats) {
        const { phase_metrics, memory_stats } = await retrievalDiagnostics(model, {
          tokens: model.encode(context),
          cue: model.encode(query ?? needle, { special: false }),
          position: matches[0]!.position,
          mode,
          signal,
        });
        diagnostics = {
          ...(request.return_phase_metrics ? { phase_metrics } : {}),
          ...(request.return_memory_stats ? { memory_stats } : {}),
        };
      }
      const answer = retrieveAnswer(request, matches, performance.now() - start);
      return c.json({ ...answer, ...diagnostics });
    } finally {
      place!.leave();
    }
  },
});
