/** What changes a row's logits before its token is drawn; see `Adjustment` of `adjust-logits.ts`. */
export interface AdjustmentSettings {
  readonly repetitionPenalty: number;
  readonly presencePenalty: number;
  readonly frequencyPenalty: number;
  readonly logitBias: ReadonlyMap<number, number>;
}

/**
 * Logits after bias → repetition penalty → frequency and presence penalty (SPEC §4). `counts [V]`: how often each token was fed;
 * `bases [V]`: how often before the text began.
 */
export function adjustLogitsReference(
  logits: ArrayLike<number>,
  counts: ArrayLike<number>,
  bases: ArrayLike<number>,
  { repetitionPenalty, presencePenalty, frequencyPenalty, logitBias }: AdjustmentSettings,
): Float64Array {
  return Float64Array.from(logits, (logit, v) => {
    const biased = logit + (logitBias.get(v) ?? 0);
    const repeated = biased < 0 ? biased * repetitionPenalty : biased / repetitionPenalty;
    const generated = counts[v]! - bases[v]!;
    const often = frequencyPenalty * generated + (generated > 0 ? presencePenalty : 0);
    return (counts[v]! > 0 ? repeated : biased) - often;
  });
}
