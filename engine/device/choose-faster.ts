/** A candidate replaces the usual one only if it takes less than this fraction of its time, so that noise does not choose. */
const WINS = 0.95;

/**
 * Chooses among candidates that were timed in turns: sample i of all of them was taken at about the same time, so their
 * ratio is free of slow changes of the machine's load. The usual candidate stays unless another one takes less than 95 % of
 * its time in the median of the ratios and less than all of it in three samples of four.
 * @param times `[comparisons][candidates][samples]`: several comparisons (formats, kinds of passes) of the same candidates;
 * their ratios are averaged geometrically
 * @param usual index of the usual candidate
 * @returns index of the chosen candidate
 */
export function chooseFaster(times: readonly (readonly (readonly number[])[])[], usual: number): number {
  const candidates = times[0]?.length ?? 0;
  let chosen = usual;
  let least = WINS;
  for (let candidate = 0; candidate < candidates; candidate++) {
    if (candidate === usual) continue;
    const samples = times[0]?.[candidate]?.length ?? 0;
    const ratios = Array.from({ length: samples }, (_, i) => {
      const logs = times.map((of) => Math.log(of[candidate]![i]! / of[usual]![i]!));
      return Math.exp(logs.reduce((sum, log) => sum + log, 0) / logs.length);
    }).sort((a, b) => a - b);
    const median = ratios[samples >> 1]!;
    const upper = ratios[Math.floor(0.75 * (samples - 1))]!;
    if (median < least && upper < 1) {
      least = median;
      chosen = candidate;
    }
  }
  return chosen;
}
