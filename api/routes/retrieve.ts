import { retrieve } from "../../engine/retrieval/retrieval.ts";
import { post } from "../operation.ts";
import { measureRetrieval, measures, retrieveAnswer } from "../retrieve-response.ts";
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
    const end = await service.admission.turn(c.get("client"), signal);
    try {
      const start = performance.now();
      const { context, needle, query } = request;
      const mode = request.retrieval_mode;
      const found = await retrieve(model, {
        context,
        needle,
        ...(typeof query === "string" ? { query } : {}),
        mode,
        topK: request.top_k,
        keepTokens: measures(request),
        signal,
      });
      const measured = await measureRetrieval(model, request, found, { mode, signal });
      return c.json(retrieveAnswer(request, found.matches, measured, performance.now() - start));
    } finally {
      end();
    }
  },
});
