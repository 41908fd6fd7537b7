import type { Model } from "../../engine/model.ts";
import { tokenFeatures } from "../../engine/retrieval/features.ts";
import { Matcher, type RetrievalMode } from "../../engine/retrieval/matcher.ts";
import { readDecay } from "../../engine/retrieval/memory-window.ts";
import type { Searcher } from "./searcher.ts";

/** The model's retrieval in one mode. */
export function resonantSearcher(model: Pick<Model, "gpu" | "weights">, mode: RetrievalMode): Searcher {
  const { gpu, weights } = model;
  return {
    name: mode,
    search: async (context, needles, topK) => {
      const before = performance.now();
      const used = new Set(context);
      for (const { tokens } of needles) for (const token of tokens) used.add(token);
      const features = await tokenFeatures(gpu, weights, used);
      const decay = await readDecay(gpu, weights);
      const start = performance.now();
      const matchers = needles.map(({ tokens }) => {
        return new Matcher(
          decay,
          mode,
          tokens.map((token) => features.get(token)!),
          topK,
        );
      });
      for (const token of context) {
        const u = features.get(token)!;
        for (const matcher of matchers) matcher.push(u);
      }
      const hits = matchers.map((matcher) =>
        matcher.finish().map((peak) => ({ ...peak, confidence: matcher.confidence(peak.similarity) })),
      );
      const ms = performance.now() - start;
      const numbers = matchers.reduce((sum, matcher) => sum + matcher.numbers, 0);
      return { hits, ms, indexMs: start - before, workingBytes: 8 * numbers };
    },
  };
}
