/** The median and the quartiles of a figure's rounds. */
export interface Summary {
  readonly median: number;
  readonly low: number;
  readonly high: number;
}

/** @throws RangeError if `values` is empty */
export function summarize(values: readonly number[]): Summary {
  if (values.length === 0) throw new RangeError("no values to summarize");
  const sorted = [...values].sort((a, b) => a - b);
  return { median: quantile(sorted, 0.5), low: quantile(sorted, 0.25), high: quantile(sorted, 0.75) };
}

/** Returns a quantile of values in ascending order, by linear interpolation (Hyndman and Fan 1996, type 7). */
export function quantile(sorted: readonly number[], share: number): number {
  const at = share * (sorted.length - 1);
  const below = sorted[Math.floor(at)] ?? Number.NaN;
  const above = sorted[Math.ceil(at)] ?? Number.NaN;
  return below + (above - below) * (at - Math.floor(at));
}

/** Returns the summary of `of` divided by the summarized figure; turns times into rates. */
export const divided = (of: number, { median, low, high }: Summary): Summary => ({
  median: of / median,
  low: of / high,
  high: of / low,
});

/** Returns the summary of `by` times the summarized figure. */
export const times = (by: number, { median, low, high }: Summary): Summary => ({
  median: by * median,
  low: by * low,
  high: by * high,
});

/**
 * Runs all cases in turns, round by round, so that a change of the machine's load affects all of them. The first round is a
 * warm-up and is not counted. Returns a summary for each case.
 */
export async function inTurns(
  cases: readonly (() => Promise<number>)[],
  rounds: number,
  onProgress?: (done: number, total: number) => void,
): Promise<Summary[]> {
  const values: number[][] = cases.map(() => []);
  for (let round = 0; round <= rounds; round++) {
    for (const [i, run] of cases.entries()) {
      const value = await run();
      if (round > 0) values[i]?.push(value);
      onProgress?.(round * cases.length + i + 1, (rounds + 1) * cases.length);
    }
  }
  return values.map(summarize);
}

/** Returns the milliseconds that `work` takes, divided by `items`. */
export async function timed(items: number, work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return (performance.now() - start) / items;
}
