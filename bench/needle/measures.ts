import type { Hit } from "./searcher.ts";

/** Largest distance from the needle, in tokens, at which a match counts as a hit. */
export const TOLERANCE = 2;

/**
 * Returns the number of tokens from a position to the nearest occurrence; infinite if there is none.
 * @param occurrences positions of the first tokens, ascending
 */
export function distance(position: number, occurrences: readonly number[]): number {
  return occurrences.reduce(
    (least, at) => Math.min(least, Math.abs(position - at)),
    Number.POSITIVE_INFINITY,
  );
}

/** Returns whether one of the first `k` hits is within {@link TOLERANCE} of an occurrence. */
export const hitAt = (k: number, hits: readonly Hit[], occurrences: readonly number[]): boolean =>
  hits.slice(0, k).some(({ position }) => distance(position, occurrences) <= TOLERANCE);

/** Returns the mean; NaN if there are no values. */
export const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

/** Returns the median: the mean of the two middle values if their number is even; NaN if there are no values. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  return mean(sorted.slice(Math.ceil(middle - 1), Math.floor(middle) + 1));
}

/**
 * Returns the area under the ROC curve: the probability that a score of `present` is above one of `absent`; ties count half
 * (the Mann–Whitney statistic, computed from ranks). NaN if either list is empty.
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
