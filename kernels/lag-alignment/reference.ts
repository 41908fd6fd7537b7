import { LAG_PENALTY } from "./lag-alignment.ts";

/**
 * The similarity of `lag-alignment.ts` at one position, and the lag of the cue's last segment, found by trying every
 * combination of lags, each at most `most`. `cosine(i, δ)` is the cosine of segment i at lag δ from its place, and 0
 * before the context. Among equals: the lag nearest to 0, then the negative one.
 */
export function lagAlignmentReference(
  segments: number,
  most: number,
  cosine: (segment: number, lag: number) => number,
): { similarity: number; lag: number } {
  const lags = Array.from({ length: 2 * most + 1 }, (_, l) => l - most);
  let best = lags.map((lag) => (lag === 0 ? cosine(0, 0) : Number.NEGATIVE_INFINITY));
  for (let i = 1; i < segments; i++) {
    const before = best;
    best = lags.map(
      (lag) =>
        Math.max(...lags.map((from, f) => before[f]! - LAG_PENALTY * Math.abs(lag - from))) + cosine(i, lag),
    );
  }
  const order = lags.toSorted((a, b) => Math.abs(a) - Math.abs(b) || a - b);
  const lag = order.reduce((chosen, l) => (best[l + most]! > best[chosen + most]! ? l : chosen), 0);
  return { similarity: best[lag + most]! / segments, lag };
}
