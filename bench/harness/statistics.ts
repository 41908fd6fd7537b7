/** The median of a figure's rounds, and the quartiles about it. */
export interface Summary {
  readonly median: number;
  readonly low: number;
  readonly high: number;
}

/** @throws RangeError where there is none */
export function summarize(values: readonly number[]): Summary {
  if (values.length === 0) throw new RangeError("no values to summarize");
  const sorted = [...values].sort((a, b) => a - b);
  return { median: quantile(sorted, 0.5), low: quantile(sorted, 0.25), high: quantile(sorted, 0.75) };
}

/** Of ascending values, between neighbours in proportion (Hyndman and Fan 1996, type 7). */
export function quantile(sorted: readonly number[], share: number): number {
  const at = share * (sorted.length - 1);
  const below = sorted[Math.floor(at)] ?? Number.NaN;
  const above = sorted[Math.ceil(at)] ?? Number.NaN;
  return below + (above - below) * (at - Math.floor(at));
}

/** Of a figure that is `of` divided by the one summarized, such as a rate of a time. */
export const divided = (of: number, { median, low, high }: Summary): Summary => ({
  median: of / median,
  low: of / high,
  high: of / low,
});

export const times = (by: number, { median, low, high }: Summary): Summary => ({
  median: by * median,
  low: by * low,
  high: by * high,
});

/**
 * Each case's rounds, one round of every case after another, so that a change in the machine's load meets all; the first
 * round warms up and is not counted.
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

/** Milliseconds per item of what `work` does with `items`. */
export async function timed(items: number, work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return (performance.now() - start) / items;
}
