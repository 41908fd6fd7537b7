import type { Model } from "../../engine/model.ts";
import type { RetrievalMode } from "../../engine/retrieval/retrieval-model.ts";
import { Search } from "../../engine/retrieval/search.ts";
import { cutSegments } from "../../engine/retrieval/segments.ts";
import type { Hit, Needle, Searcher, SearchResult } from "./searcher.ts";

/** Maximum number of needles in one pass; the memory for more costs more than the saved passes. */
const NEEDLES_PER_PASS = 32;

/**
 * Returns a searcher for each retrieval mode of the model. The modes share one pass over a context, and each reports the time
 * of the whole pass; a single mode would take a little less.
 */
export function resonantSearchers(
  model: Pick<Model, "gpu" | "weights" | "tokenizer">,
  modes: readonly RetrievalMode[],
): Searcher[] {
  let last:
    | { readonly context: Uint32Array; readonly needles: readonly Needle[]; found: Promise<SearchResult[]> }
    | undefined;
  return modes.map((name, mode) => ({
    name,
    search: async (context, needles, topK) => {
      if (needles.length === 1) return (await searchAll(model, [name], context, needles, topK))[0]!;
      if (last?.context !== context || last.needles !== needles) {
        last = { context, needles, found: searchAll(model, modes, context, needles, topK) };
      }
      return (await last.found)[mode]!;
    },
  }));
}

/** Searches for all needles; returns the results of each mode. */
async function searchAll(
  model: Pick<Model, "gpu" | "weights" | "tokenizer">,
  modes: readonly RetrievalMode[],
  context: Uint32Array,
  needles: readonly Needle[],
  topK: number,
): Promise<SearchResult[]> {
  const hits: Hit[][][] = modes.map(() => needles.map(() => []));
  let workingBytes = 0;
  const start = performance.now();
  for (const together of needleBatches(needles)) {
    const cues = together.map((needle) => needles[needle]!.tokens);
    const search = await Search.open(model, { cues, modes, capacity: topK });
    try {
      await search.push(context);
      await search.finish();
      workingBytes = Math.max(workingBytes, search.bytes);
      modes.forEach((_, mode) => {
        together.forEach((needle, cue) => {
          const ranking = search.ranking(cue, mode);
          hits[mode]![needle] = ranking.peaks.map((peak) => ({
            ...peak,
            confidence: ranking.confidence(peak.similarity),
          }));
        });
      });
    } finally {
      search.close();
    }
  }
  const ms = performance.now() - start;
  return hits.map((found) => ({ hits: found, ms, workingBytes }));
}

/** Groups the indices of needles by segment length, so that each needle is compared as it would be alone. */
function needleBatches(needles: readonly Needle[]): number[][] {
  const bySpan = new Map<number, number[]>();
  needles.forEach(({ tokens }, needle) => {
    const { span } = cutSegments([tokens.length]);
    bySpan.set(span, [...(bySpan.get(span) ?? []), needle]);
  });
  return [...bySpan.values()].flatMap((own) =>
    Array.from({ length: Math.ceil(own.length / NEEDLES_PER_PASS) }, (_, i) =>
      own.slice(i * NEEDLES_PER_PASS, (i + 1) * NEEDLES_PER_PASS),
    ),
  );
}
