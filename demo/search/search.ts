import type { Model } from "../../engine/model.ts";
import { retrieve } from "../../engine/retrieval/retrieval.ts";
import type { SearchAnswer, SearchRequest } from "../engine/protocol.ts";

/**
 * Searches a text, in the worker.
 * @param onProgress called with the UTF-16 units searched so far
 * @throws what `retrieve` throws; the signal's reason
 */
export async function search(
  model: Model,
  { context, needle, mode, topK, parts }: SearchRequest,
  onProgress: (characters: number) => void,
  signal: AbortSignal,
): Promise<SearchAnswer> {
  const start = performance.now();
  const { matches, tokens, profile } = await retrieve(model, {
    context,
    needle,
    mode,
    topK,
    profile: parts,
    onProgress: (_, characters) => onProgress(characters),
    signal,
  });
  const milliseconds = performance.now() - start;
  return { matches, tokens, characters: context.length, milliseconds, profile: profile! };
}
