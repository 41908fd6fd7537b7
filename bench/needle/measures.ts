import type { Hit } from "./searcher.ts";

/** Tokens that a place may be off and still be a hit. */
export const TOLERANCE = 2;

/**
 * Tokens from a place to the nearest occurrence.
 * @param occurrences first tokens, ascending; none: infinite
 */
export function distance(position: number, occurrences: readonly number[]): number {
  return occurrences.reduce(
    (least, at) => Math.min(least, Math.abs(position - at)),
    Number.POSITIVE_INFINITY,
  );
}

/** Whether one of the first `k` places is within {@link TOLERANCE} of an occurrence. */
export const hitAt = (k: number, hits: readonly Hit[], occurrences: readonly number[]): boolean =>
  hits.slice(0, k).some(({ position }) => distance(position, occurrences) <= TOLERANCE);

/** NaN of nothing. */
export const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

/** The mean of the two in the middle where their number is even; NaN of nothing. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  return mean(sorted.slice(Math.ceil(middle - 1), Math.floor(middle) + 1));
}

/**
 * Area under the ROC curve: how likely a score of `present` is above one of `absent`, a tie counted half (the
 * Mann–Whitney statistic, from ranks). NaN where either is empty.
 */
export function areaUnderRoc(present: readonly number[], absent: readonly number[]): number {
  const scores = [
    ...present.map((score) => ({ score, present: 1 })),
    ...absent.map((score) => ({ score, present: 0 })),
  ].sort((a, b) => a.score - b.score);
  let ranks = 0;
  for (let start = 0, end = 0; start < scores.length; start = end) {
    let positives = 0;
    for (end = start; end < scores.length && scores[end]!.score === scores[start]!.score; end++) {
      positives += scores[end]!.present;
    }
    ranks += (positives * (start + 1 + end)) / 2;
  }
  const count = present.length;
  return (ranks - (count * (count + 1)) / 2) / (count * absent.length);
}
