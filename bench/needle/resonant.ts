import type { Model } from "../../engine/model.ts";
import type { RetrievalMode } from "../../engine/retrieval/retrieval-model.ts";
import { Search } from "../../engine/retrieval/search.ts";
import { cutSegments } from "../../engine/retrieval/segments.ts";
import type { Found, Hit, Needle, Searcher } from "./searcher.ts";

/** Needles compared in one pass: more take more room than the pass saves. */
const TOGETHER = 32;

/**
 * The model's retrieval in each of `modes`. They share one pass over a context, whose time is each one's own: alone a mode
 * takes a little less.
 */
export function resonantSearchers(
  model: Pick<Model, "gpu" | "weights" | "tokenizer">,
  modes: readonly RetrievalMode[],
): Searcher[] {
  let last:
    | { readonly context: Uint32Array; readonly needles: readonly Needle[]; found: Promise<Found[]> }
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

/** What each mode finds. */
async function searchAll(
  model: Pick<Model, "gpu" | "weights" | "tokenizer">,
  modes: readonly RetrievalMode[],
  context: Uint32Array,
  needles: readonly Needle[],
  topK: number,
): Promise<Found[]> {
  const hits: Hit[][][] = modes.map(() => needles.map(() => []));
  let workingBytes = 0;
  const start = performance.now();
  for (const together of alike(needles)) {
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

/** Indices of needles that are cut into segments of one length, so that each is compared as it would be alone. */
function alike(needles: readonly Needle[]): number[][] {
  const bySpan = new Map<number, number[]>();
  needles.forEach(({ tokens }, needle) => {
    const { span } = cutSegments([tokens.length]);
    bySpan.set(span, [...(bySpan.get(span) ?? []), needle]);
  });
  return [...bySpan.values()].flatMap((own) =>
    Array.from({ length: Math.ceil(own.length / TOGETHER) }, (_, i) =>
      own.slice(i * TOGETHER, (i + 1) * TOGETHER),
    ),
  );
}
