import { describe, expect, it } from "vitest";
import { randomFloats, randomIntegers, testGpu } from "../../test/gpu.ts";
import { distributionReference, quantileReference } from "./reference.ts";
import { isGreedy, NOT_FINITE, type Sampling } from "./sample.ts";
import { type Batch, drawTokens, LAYERS, plain, quantileOf, repeat, seeds } from "./testing/draw.ts";

const gpu = await testGpu();
const alone = (batch: Batch): Promise<Uint32Array> => drawTokens(gpu, batch);
const shared = (batch: Batch): Promise<Uint32Array> => drawTokens(gpu, { ...batch, shared: true });

/** The tokens that many workgroups draw; those of one workgroup a row must be the same. */
async function both(batch: Batch): Promise<Uint32Array> {
  const tokens = await shared(batch);
  expect(Array.from(tokens)).toEqual(Array.from(await alone(batch)));
  return tokens;
}

const changes: Partial<Sampling>[] = [
  {},
  { temperature: 1.5 },
  { topK: 1 },
  { topK: 7, temperature: 2 },
  { topK: 50, topP: 0.95, temperature: 0.9 },
  { topP: 0.5, temperature: 2 },
  { topP: 0.999999, temperature: 3 },
  { topP: 0 },
  { topK: 900, topP: 0.9, repetitionPenalty: 1.5, temperature: 0.8 },
  { topK: 2 ** 31 - 1, phaseTemperature: 2 },
  { temperature: 0, repetitionPenalty: 1.3 },
  { minP: 0.03, temperature: 1.5 },
  { minP: 0.5, topK: 900, topP: 0.8, repetitionPenalty: 1.2 },
  { minP: 1, phaseTemperature: 2 },
];

describe("many workgroups a row", () => {
  it.each([1, 1031, 5003, 50304])(
    "draw the reference's tokens, and those of one workgroup, of %i tokens",
    async (vocabulary) => {
      const logits = randomFloats(vocabulary, vocabulary, -8, 8);
      const counts = randomIntegers(3, vocabulary, 2);
      const each = vocabulary > 5003 ? 4 : 24;
      const settings = changes.flatMap((changed, i) => seeds({ ...plain, ...changed }, each, 1 + i * each));
      const order = repeat(Float32Array.of(0.25, 0.75), new Float32Array(settings.length * LAYERS));
      const batch = { vocabulary, logits, settings, counts, order, position: 5, step: 2 };
      const tokens = await both(batch);
      const other = settings.filter((setting, i) => {
        const temperature = setting.temperature * (1 + setting.phaseTemperature * (1 - 0.5));
        const exact = distributionReference(logits, counts, { ...setting, temperature });
        expect(exact[tokens[i]!]).toBeGreaterThan(0);
        return quantileReference(exact, quantileOf(setting, 8)) !== tokens[i];
      });
      expect(other.length).toBeLessThan(3);
    },
  );

  const vocabulary = 5003;
  const all = changes.map((changed, i) => ({ ...plain, ...changed, seed: 77 + i }));

  it.each<[string, (v: number) => number]>([
    ["all equal", () => -2.5],
    ["of three values, in bins that hold more than a list", (v) => [1, 1.001, -3][v % 3]!],
    ["around 0, of both signs and 0 itself", (v) => (v % 5 === 0 ? [0, -0][v % 2]! : Math.sin(v) * 1e-3)],
    ["none above −0", (v) => (v % 3 === 0 ? -0 : v % 3 === 1 ? 0 : -1)],
    ["far apart", (v) => ((v * 7919) % vocabulary) * 6e34 * (v % 2 === 0 ? 1 : -1)],
    ["all negative and large", (v) => -1e4 - ((v * 31) % vocabulary)],
    ["neighbours by their last bits", (v) => 8 + (v % 911) * 2 ** -20],
  ])("keep the same tokens of logits that are %s", async (_, logit) => {
    const logits = Float32Array.from({ length: vocabulary }, (_, v) => logit(v));
    const order = repeat(Float32Array.of(0.25, 0.75), new Float32Array(4 * all.length * LAYERS));
    await both({ vocabulary, logits, settings: [...all, ...all, ...all, ...all], order });
  });

  it("draw of greedy rows with two kernels what they draw with four", async () => {
    const logits = randomFloats(5, vocabulary, -5, 5);
    for (const best of [70, 700, 5002]) logits[best] = 6;
    for (const temperature of [0, 1e-46, 1.17e-38]) {
      const settings = seeds({ ...plain, temperature, topP: 0.5, topK: 3, phaseTemperature: 1 }, 5);
      expect(isGreedy(temperature)).toBe(true);
      for (const greedy of [true, false]) {
        const tokens = await shared({ vocabulary, logits, settings, greedy });
        expect(Array.from(tokens)).toEqual(new Array(5).fill(70));
      }
    }
  });

  it.each([2 ** -126, 1e-37, 1e-30, 1e-3])(
    "take the most likely token at a temperature of %d",
    async (low) => {
      const logits = Float32Array.from({ length: vocabulary }, (_, v) => 10 - ((v * 400) % vocabulary));
      logits[4000] = 3e38;
      logits[4001] = -3e38;
      const settings = changes.map((changed) => ({ ...plain, ...changed, temperature: low }));
      const order = new Float32Array(settings.length * LAYERS).fill(0.5);
      const tokens = await both({ vocabulary, logits, settings, order });
      expect(new Set(tokens)).toEqual(new Set([4000]));
    },
  );

  it("report what is not finite, in its own row alone", async () => {
    const bad = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
    const logits = randomFloats(8, 8 * vocabulary);
    bad.forEach((value, i) => {
      logits[(2 * i + 1) * vocabulary + 2043 * i] = value;
    });
    const order = new Float32Array(8 * LAYERS).fill(0.5);
    order[6 * LAYERS + 1] = Number.NaN;
    const broken = [false, true, false, true, false, true];
    for (const [changed, phase] of [
      [{ phaseTemperature: 2 }, true],
      [{ topK: 5, topP: 0.5 }, false],
      [{ temperature: 0 }, false],
    ] as const) {
      const tokens = await both({ vocabulary, logits, settings: seeds({ ...plain, ...changed }, 8), order });
      const failed = Array.from(tokens, (token) => token === NOT_FINITE);
      expect(failed).toEqual([...broken, phase, false]);
    }
  });

  it("give the same token whatever shares the batch", async () => {
    const many = randomFloats(7, 9 * vocabulary, -2, 2);
    const settings = Array.from({ length: 9 }, (_, row) => ({
      ...plain,
      seed: 100 + row,
      temperature: row === 2 ? 0 : 0.5 + row / 4,
      topK: row * 3,
      topP: 1 - row / 20,
    }));
    const position = settings.map((_, row) => 7 * row);
    const together = await both({ vocabulary, logits: many, settings, position });
    for (const row of [0, 4, 8]) {
      const own = many.subarray(row * vocabulary, (row + 1) * vocabulary);
      const batch = { vocabulary, logits: own, settings: [settings[row]!], position: 7 * row };
      expect((await shared(batch))[0]).toBe(together[row]);
    }
  });
});
