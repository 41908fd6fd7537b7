import { describe, expect, it } from "vitest";
import { chiSquaredP, upperGamma } from "../../test/chi-squared.ts";
import { randomFloats, randomIntegers, testGpu } from "../../test/gpu.ts";
import { distributionReference, quantileReference } from "./reference.ts";
import { isGreedy, NOT_FINITE, type Sampling } from "./sample.ts";
import {
  type Batch,
  drawTokens,
  LAYERS as layers,
  plain,
  quantileOf,
  repeat,
  seeds,
} from "./testing/draw.ts";

const gpu = await testGpu();
const draw = (batch: Batch): Promise<Uint32Array> => drawTokens(gpu, batch);
it("has a right p-value to judge by", () => {
  // χ² with 1 and 10 degrees of freedom: tabulated 5 % and 0.1 % points.
  expect(upperGamma(0.5, 3.841458821 / 2)).toBeCloseTo(0.05, 8);
  expect(upperGamma(5, 29.58829845 / 2)).toBeCloseTo(0.001, 8);
  expect(upperGamma(5, 3.940299136 / 2)).toBeCloseTo(0.95, 8);
});

describe("20,000 draws", () => {
  const [draws, rows] = [20_000, 1000];
  const vocabulary = 37;
  const logits = randomFloats(1, vocabulary, -3, 3);
  const counts = randomIntegers(2, vocabulary, 3);
  const all = { temperature: 1.3, topK: 20, topP: 0.8, repetitionPenalty: 1.3 };
  const cases: Partial<Sampling>[] = [
    { temperature: 0.7 },
    { temperature: 1.5 },
    { topK: 5 },
    { topP: 0.8 },
    { repetitionPenalty: 1.3 },
    { phaseTemperature: 2 },
    { minP: 0.1 },
    { ...all, minP: 0.2 },
    { ...all, phaseTemperature: 0.5 },
  ];

  it.each(cases)("follow the exact distribution of %o, and its quantiles", async (changed) => {
    const setting = { ...plain, ...changed };
    const settings = seeds(setting, draws, 1000);
    const order = new Float32Array(rows * layers).map((_, i) => (i % layers === 0 ? 0.25 : 0.75));
    const tokens: number[] = [];
    for (let first = 0; first < draws; first += rows) {
      const part = settings.slice(first, first + rows);
      tokens.push(...(await draw({ vocabulary, logits, settings: part, counts, order, position: 9 })));
    }
    const temperature = setting.temperature * (1 + setting.phaseTemperature * (1 - 0.5));
    const exact = distributionReference(logits, counts, { ...setting, temperature });

    const seen = new Array<number>(vocabulary).fill(0);
    for (const token of tokens) seen[token]! += 1;
    expect(seen.filter((count, v) => count > 0 && exact[v] === 0)).toEqual([]);
    expect(chiSquaredP(seen, exact)).toBeGreaterThan(0.001);

    // Beyond the statistics: exactly the same tokens, except for draws within rounding of a boundary.
    const some = settings.slice(0, 2000);
    const other = some.filter((s, i) => quantileReference(exact, quantileOf(s, 11)) !== tokens[i]);
    expect(other.length).toBeLessThan(3);
  });
});

describe("the kept set", () => {
  const cases: [vocabulary: number, changed: Partial<Sampling>][] = [
    [1, {}],
    [2, { topK: 1 }],
    [260, { topK: 7, temperature: 2 }],
    [260, { topP: 0.5, temperature: 2 }],
    [1031, { topK: 100, topP: 0.9, repetitionPenalty: 1.5, temperature: 0.8 }],
    [1031, { topK: 5000 }],
    [50304, { topK: 50, topP: 0.95, temperature: 0.9 }],
  ];

  it.each(cases)("of %i tokens under %o is the reference's", async (vocabulary, changed) => {
    const setting = { ...plain, ...changed };
    const logits = randomFloats(vocabulary, vocabulary, -8, 8);
    const counts = randomIntegers(3, vocabulary, 2);
    const settings = seeds(setting, vocabulary > 5000 ? 32 : 200);
    const tokens = await draw({ vocabulary, logits, settings, counts });
    const exact = distributionReference(logits, counts, setting);
    expect(tokens.every((token) => exact[token]! > 0)).toBe(true);
    const other = settings.filter((s, i) => quantileReference(exact, quantileOf(s, 2)) !== tokens[i]);
    expect(other.length).toBeLessThan(3);
  });

  it("is the best token alone for top_p 0 and for top_k 1", async () => {
    const logits = randomFloats(4, 260, -2, 2);
    const best = logits.indexOf(Math.max(...logits));
    for (const changed of [{ topP: 0 }, { topK: 1 }]) {
      const tokens = await draw({ vocabulary: 260, logits, settings: seeds({ ...plain, ...changed }, 50) });
      expect(tokens.every((token) => token === best)).toBe(true);
    }
  });

  it("holds all tokens that tie with the last one kept", async () => {
    const logits = Float32Array.of(1, 3, 2, 2, 0, 2, -1);
    const settings = seeds({ ...plain, topK: 2 }, 500);
    const tied = new Set(await draw({ vocabulary: 7, logits, settings }));
    expect([...tied].sort()).toEqual([1, 2, 3, 5]);
    const equal = new Float32Array(65).fill(-2.5);
    for (const changed of [{ topK: 3 }, { topP: 0.1 }]) {
      const tokens = await draw({
        vocabulary: 65,
        logits: equal,
        settings: seeds({ ...plain, ...changed }, 1000),
      });
      expect(new Set(tokens).size).toBe(65);
    }
  });
});

describe("temperature 0", () => {
  it("takes the lowest of the best tokens, whatever the other settings", async () => {
    const logits = randomFloats(5, 1031, -5, 5);
    for (const best of [70, 700, 1030]) logits[best] = 6;
    const greedy = { ...plain, temperature: 0, topP: 0.5, topK: 3, phaseTemperature: 1 };
    const tokens = await draw({ vocabulary: 1031, logits, settings: seeds(greedy, 8) });
    expect(Array.from(tokens)).toEqual(new Array(8).fill(70));
  });

  it("still applies the repetition penalty", async () => {
    const settings = [{ ...plain, temperature: 0, repetitionPenalty: 2 }];
    const counts = Uint32Array.of(0, 1, 0);
    const positive = await draw({ vocabulary: 3, logits: Float32Array.of(1, 5, 3), settings, counts });
    const negative = await draw({ vocabulary: 3, logits: Float32Array.of(-9, -2, -3), settings, counts });
    expect([positive[0], negative[0]]).toEqual([2, 2]);
  });
});

describe("the seed", () => {
  const vocabulary = 260;
  const logits = randomFloats(6, vocabulary, -1, 1);

  it("decides the token: the same one's again, another's mostly another", async () => {
    const settings = seeds(plain, 300);
    const first = await draw({ vocabulary, logits, settings });
    const again = await draw({ vocabulary, logits, settings });
    const other = await draw({ vocabulary, logits, settings: seeds(plain, 300, 10_000) });
    expect(again).toEqual(first);
    expect(first.filter((token, i) => token === other[i]).length).toBeLessThan(20);
  });

  it("counts in all its 53 bits, as do the choice and the position", async () => {
    const settings = [5, 5 + 2 ** 32, 5 + 2 ** 33, 2 ** 53 - 1, 0].flatMap((seed) =>
      [0, 1, 2].map((choice) => ({ ...plain, seed, choice })),
    );
    const exact = distributionReference(logits, new Uint32Array(vocabulary), plain);
    for (const [position, step] of [
      [0, 0],
      [1_000_000, 3],
    ] as const) {
      const tokens = await draw({ vocabulary, logits, settings, position, step });
      const expected = settings.map((s) => quantileReference(exact, quantileOf(s, position + step + 1)));
      expect(Array.from(tokens)).toEqual(expected);
      expect(new Set(tokens).size).toBeGreaterThan(10);
    }
  });

  it("gives the same token whatever shares the batch", async () => {
    const many = randomFloats(7, 9 * vocabulary, -2, 2);
    const settings = Array.from({ length: 9 }, (_, row) => ({
      ...plain,
      seed: 100 + row,
      temperature: 0.5 + row / 4,
      topK: row * 3,
      topP: 1 - row / 20,
    }));
    const position = settings.map((_, row) => 7 * row);
    const together = await draw({ vocabulary, logits: many, settings, position });
    for (const row of [0, 4, 8]) {
      const own = many.subarray(row * vocabulary, (row + 1) * vocabulary);
      const alone = await draw({ vocabulary, logits: own, settings: [settings[row]!], position: 7 * row });
      expect(alone[0]).toBe(together[row]);
    }
  });
});

describe("a low temperature", () => {
  const vocabulary = 1031;
  const order = Float32Array.of(0.25, 0.75);
  // Neighbours in size are at least 1 apart, so that at a temperature of 1e-3 the rest has a mass of 0.
  const logits = Float32Array.from({ length: vocabulary }, (_, v) => 10 - ((v * 400) % vocabulary));
  logits[700] = 3e38;
  logits[701] = -3e38;
  const all = { ...plain, topK: 20, topP: 0.8, repetitionPenalty: 1.3 };

  it.each([0, 1e-46, 1e-45, 1e-40, 2.9e-39, 1.17e-38, 2 ** -126, 1.2e-38, 1e-37, 1e-35, 1e-30, 1e-3])(
    "of %d takes the most likely token",
    async (temperature) => {
      for (const changed of [plain, { ...plain, phaseTemperature: 100 }, all]) {
        const batch = {
          settings: seeds({ ...changed, temperature }, 8),
          order: repeat(order, new Float32Array(16)),
        };
        const tokens = await draw({ vocabulary, logits, ...batch });
        expect(Array.from(tokens)).toEqual(new Array(8).fill(700));
        const close = await draw({ vocabulary: 700, logits: logits.subarray(0, 700), ...batch });
        expect(new Set(close)).toEqual(new Set([0]));
      }
    },
  );

  it("is greedy below the least normal f32, once it is rounded to f32", () => {
    const least = 2 ** -126;
    for (const low of [0, 5e-324, 1e-46, 1e-39, least * (1 - 2 ** -23)]) expect(isGreedy(low)).toBe(true);
    for (const normal of [least * (1 - 2 ** -25), least, 1e-37, 1]) expect(isGreedy(normal)).toBe(false);
  });

  it("of several equal tokens draws one of them", async () => {
    const equal = new Float32Array(vocabulary).fill(-1);
    for (const best of [3, 64, 1030]) equal[best] = 2;
    for (const temperature of [2 ** -126, 1e-30]) {
      const tokens = await draw({
        vocabulary,
        logits: equal,
        settings: seeds({ ...plain, temperature }, 100),
      });
      expect(new Set(tokens)).toEqual(new Set([3, 64, 1030]));
    }
  });
});

it("reports a temperature that is not finite, in its own row alone", async () => {
  const vocabulary = 37;
  const bad = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const temperature of [1, 2 ** -126]) {
    const settings = seeds({ ...plain, temperature, phaseTemperature: 2 }, 6);
    const order = new Float32Array(6 * layers).fill(0.5);
    bad.forEach((value, i) => {
      order[(2 * i + 1) * layers + (i % layers)] = value;
    });
    const tokens = await draw({ vocabulary, logits: randomFloats(9, vocabulary), settings, order });
    const failed = Array.from(tokens, (token) => token === NOT_FINITE);
    expect(failed).toEqual([false, true, false, true, false, true]);
  }
});

it("reports logits that are not finite, in their own row alone", async () => {
  const vocabulary = 130;
  const bad = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  const logits = randomFloats(8, 8 * vocabulary);
  bad.forEach((value, i) => {
    logits[(2 * i + 1) * vocabulary + 43 * i] = value;
  });
  for (const changed of [{}, { temperature: 0 }, { topK: 5, topP: 0.5 }]) {
    const tokens = await draw({ vocabulary, logits, settings: seeds({ ...plain, ...changed }, 8) });
    const failed = Array.from(tokens, (token) => token === NOT_FINITE);
    expect(failed).toEqual([false, true, false, true, false, true, false, false]);
  }
});
