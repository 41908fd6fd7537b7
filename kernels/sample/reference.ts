/** What shapes the distribution; see `Sampling` of `sample.ts`. */
export interface DistributionSettings {
  readonly temperature: number;
  readonly topK: number;
  readonly topP: number;
  readonly repetitionPenalty: number;
  readonly minP?: number | undefined;
}

/**
 * The probability of each token (SPEC §4): repetition penalty → temperature → min-p → top-k → top-p. Tokens that tie with the last
 * one kept are kept too. `logits` and `counts [V]`; with temperature 0 all probability is on the first of the largest.
 */
export function distributionReference(
  logits: ArrayLike<number>,
  counts: ArrayLike<number>,
  { temperature, topK, topP, repetitionPenalty, minP = 0 }: DistributionSettings,
): Float64Array {
  const scores = Float64Array.from(logits, (logit, v) => {
    if (counts[v] === 0) return logit;
    return logit < 0 ? logit * repetitionPenalty : logit / repetitionPenalty;
  });
  const order = [...scores.keys()].sort((a, b) => scores[b]! - scores[a]! || a - b);
  const peak = scores[order[0]!]!;
  if (temperature === 0) return scores.map((_, v) => (v === order[0] ? 1 : 0));

  const mass = scores.map((score) => Math.exp((score - peak) / temperature));
  const afterMinP = order.filter((v) => mass[v]! >= minP);
  let last = scores[afterMinP[topK > 0 ? Math.min(topK, afterMinP.length) - 1 : afterMinP.length - 1]!]!;
  const afterTopK = afterMinP.filter((v) => scores[v]! >= last);
  const total = afterTopK.reduce((sum, v) => sum + mass[v]!, 0);
  let sum = 0;
  for (const v of topP < 1 ? afterTopK : []) {
    sum += mass[v]!;
    if (sum >= topP * total) {
      last = scores[v]!;
      break;
    }
  }
  const kept = mass.map((value, v) => (scores[v]! >= last ? value : 0));
  const keptTotal = kept.reduce((a, b) => a + b, 0);
  return kept.map((value) => value / keptTotal);
}

/** The token at quantile `q` in [0, 1) of a distribution, with tokens in the order of their index. */
export function quantileReference(distribution: ArrayLike<number>, q: number): number {
  let below = 0;
  for (let v = 0; v < distribution.length; v++) {
    below += distribution[v]!;
    if (q < below) return v;
  }
  return distribution.length - 1;
}

/** Threefry-2x32-20 (Salmon et al., SC 2011) of `counter` under `key`, all 32-bit words. */
export function threefryReference(
  key: readonly [number, number],
  counter: readonly [number, number],
): [number, number] {
  const mask = 0xffffffffn;
  const [k0, k1] = [BigInt(key[0]), BigInt(key[1])];
  const keys = [k0, k1, 0x1bd11bdan ^ k0 ^ k1] as const;
  const rotations = [13n, 15n, 26n, 6n, 17n, 29n, 16n, 24n] as const;
  let x = (BigInt(counter[0]) + k0) & mask;
  let y = (BigInt(counter[1]) + k1) & mask;
  for (let round = 0; round < 20; round++) {
    const r = rotations[round % 8]!;
    x = (x + y) & mask;
    y = (((y << r) | (y >> (32n - r))) & mask) ^ x;
    if (round % 4 === 3) {
      const turn = (round + 1) / 4;
      x = (x + keys[turn % 3]!) & mask;
      y = (y + keys[(turn + 1) % 3]! + BigInt(turn)) & mask;
    }
  }
  return [Number(x), Number(y)];
}
