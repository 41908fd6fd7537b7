import { ceilDivide, type KernelHost } from "./kernel.ts";

/** The vocabularies of which a GPU gives each part to a workgroup have more tokens than this. */
const LEAST_TOKENS = 2048;

/** Parts of a vocabulary that are looked at by a workgroup each: their number is at most 256, the lanes of a workgroup. */
export interface VocabularyParts {
  /** Tokens in a part, a multiple of 1024. */
  readonly part: number;
  readonly parts: number;
}

export function vocabularyParts(vocabulary: number): VocabularyParts {
  const part = 1024 * ceilDivide(vocabulary, 1024 * 256);
  return { part, parts: ceilDivide(vocabulary, part) };
}

/** Whether many workgroups share a row of logits: on GPUs. A software adapter is faster with a workgroup a row. */
export const sharesRows = ({ sharedLoadLanes }: KernelHost, vocabulary: number): boolean =>
  sharedLoadLanes === 0 && vocabulary > LEAST_TOKENS;
