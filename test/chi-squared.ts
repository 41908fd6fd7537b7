/** ln Γ(x) for x > 0: Lanczos' approximation, g = 7, nine terms. */
function logGamma(x: number): number {
  const coefficients = [
    0.99999999999980993, 676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059,
    12.507343278686905, -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7,
  ];
  const z = x - 1;
  const t = z + 7.5;
  const sum = coefficients.reduce((total, c, i) => total + (i === 0 ? c : c / (z + i)), 0);
  return 0.5 * Math.log(2 * Math.PI) + (z + 0.5) * Math.log(t) - t + Math.log(sum);
}

/** The regularised upper incomplete gamma function Q(a, x): by series below a + 1, else by continued fraction. */
export function upperGamma(a: number, x: number): number {
  if (x <= 0) return 1;
  const scale = Math.exp(-x + a * Math.log(x) - logGamma(a));
  if (x < a + 1) {
    let term = 1 / a;
    let sum = term;
    for (let n = 1; term > sum * 1e-15; n++) {
      term *= x / (a + n);
      sum += term;
    }
    return 1 - scale * sum;
  }
  // Lentz's method.
  let b = x + 1 - a;
  let c = 1e300;
  let d = 1 / b;
  let fraction = d;
  for (let n = 1; n < 10_000; n++) {
    const numerator = -n * (n - a);
    b += 2;
    d = 1 / (numerator * d + b);
    c = b + numerator / c;
    fraction *= d * c;
    if (Math.abs(d * c - 1) < 1e-15) break;
  }
  return scale * fraction;
}

/**
 * Returns the p-value of Pearson's χ² test: the probability that draws from `probabilities` fit at least as badly as the
 * `observed` counts. Merges outcomes with an expected count below five. Returns 0 if an outcome of probability 0 was observed.
 */
export function chiSquaredP(observed: ArrayLike<number>, probabilities: ArrayLike<number>): number {
  const draws = Array.from(observed).reduce((a, b) => a + b, 0);
  const bins: [seen: number, expected: number][] = [];
  let rest: [number, number] = [0, 0];
  for (let i = 0; i < probabilities.length; i++) {
    const [seen, expected] = [observed[i]!, probabilities[i]! * draws];
    if (expected === 0 && seen > 0) return 0;
    if (expected >= 5) bins.push([seen, expected]);
    else rest = [rest[0] + seen, rest[1] + expected];
  }
  if (rest[1] >= 5) bins.push(rest);
  else if (bins[0]) bins[0] = [bins[0][0] + rest[0], bins[0][1] + rest[1]];
  const statistic = bins.reduce((sum, [seen, expected]) => sum + (seen - expected) ** 2 / expected, 0);
  return bins.length < 2 ? 1 : upperGamma((bins.length - 1) / 2, statistic / 2);
}
