import { describe, expect, it } from "vitest";
import { readScore, SIMILARITY_STEP } from "../../kernels/lag-alignment/lag-alignment.ts";
import { randomIntegers, testGpu } from "../../test/gpu.ts";
import { fixturePath, loadDefault, loadTiny } from "../../test/models.ts";
import { refusal } from "../../weights/testing/fixtures.ts";
import { Model } from "../model.ts";
import { openModelFolder } from "../platform/node/files.ts";
import { readFades } from "./decay.ts";
import { featuresOf } from "./feature-table.ts";
import { tokenFeatures } from "./features.ts";
import { featureReference, similaritiesReference } from "./reference.ts";
import { Resonance, type ResonanceOptions } from "./resonance.ts";
import type { RetrievalMode } from "./retrieval-model.ts";
import { Search } from "./search.ts";

const gpu = await testGpu();
const tiny = await loadTiny(gpu);
const modes: readonly RetrievalMode[] = ["pvm", "plm", "hybrid"];

type Scored = ReturnType<typeof readScore>;

/** Of each cue in each mode, the score of every position, the context told in blocks of so many tokens. */
async function resonate(
  model: Pick<Model, "gpu" | "weights" | "tokenizer">,
  context: Uint32Array,
  options: ResonanceOptions,
  block = context.length,
): Promise<Scored[][]> {
  const resonance = await Resonance.open(model, options);
  const columns = options.cues.flatMap(() => options.modes.map((): Scored[] => []));
  const tell: Parameters<Resonance["push"]>[1] = ({ first, count, scores }) => {
    columns.forEach((column, i) => {
      expect(column.length).toBe(first);
      column.push(...Array.from(scores.subarray(i * count, (i + 1) * count), readScore));
    });
  };
  for (let start = 0; start < context.length; start += block) {
    await resonance.push(context.subarray(start, start + block), tell);
  }
  await resonance.finish(tell);
  resonance.destroy();
  for (const column of columns) expect(column.length).toBe(context.length);
  return columns;
}

/** Features of tokens in f64, `[tokens][D]`. */
async function featuresIn(model: Model, tokens: ArrayLike<number>): Promise<number[][]> {
  const { weights } = model;
  const all = Array.from({ length: weights.embed.rows }, (_, id) => id);
  const features = await tokenFeatures(gpu, weights, all);
  const mean = Array.from({ length: weights.embed.columns }, (_, d) =>
    all.reduce((sum, id) => sum + features.get(id)![d]! / all.length, 0),
  );
  const isUpper = (id: number): boolean => id >= 65 && id <= 90;
  return Array.from(tokens, (id) =>
    featureReference(features.get(id)!, features.get(isUpper(id) ? id + 32 : id)!, mean),
  );
}

describe.each([
  ["default", await loadDefault(gpu)],
  ["tiny", tiny],
] as const)("resonance with the %s model", (_, model) => {
  it("gives every position the similarity of the f64 law, and its lag", async () => {
    const context = randomIntegers(1, 150, 128);
    const cue = [...context.subarray(40, 61)];
    cue.splice(9, 0, 65, 66);
    cue[3] = 7;
    const fades = await readFades(gpu, model.weights);
    const [inContext, inCue] = [await featuresIn(model, context), await featuresIn(model, cue)];
    const columns = await resonate(model, context, { cues: [cue], modes });
    modes.forEach((mode, m) => {
      const law = similaritiesReference(inContext, inCue, fades, mode);
      const worst = Math.max(
        ...law.map(({ similarity }, p) => Math.abs(columns[m]![p]!.similarity - similarity)),
      );
      expect(worst).toBeLessThan(SIMILARITY_STEP + 1e-6);
      const best = law.reduce((top, { similarity }, p) => (similarity > law[top]!.similarity ? p : top), 0);
      expect(columns[m]![best]).toMatchObject({ lag: law[best]!.lag });
      expect(best).toBe(40);
    });
  });

  it("gives 1 where the cue's tokens stand, less anywhere else, and equal windows equal bits", async () => {
    const context = randomIntegers(2, 900, 256);
    context.copyWithin(700, 100, 160);
    const cue = [...context.subarray(110, 130)];
    const columns = await resonate(model, context, { cues: [cue], modes });
    for (const column of columns) {
      const exact = column.flatMap(({ similarity }, p) => (similarity === 1 ? [p] : []));
      expect(exact).toEqual([110, 710]);
      expect(column.slice(100, 130)).toEqual(column.slice(700, 730));
    }
  });
});

describe("resonance", () => {
  it("is the same however the context is cut into blocks", async () => {
    const context = randomIntegers(3, 9000, 256);
    const options = { cues: [[...context.subarray(8180, 8210)], [1], [2, 3, 4]], modes };
    const whole = await resonate(tiny, context, options);
    expect(whole[0]![8180]!.similarity).toBe(1);
    for (const block of [777, 8192]) {
      expect(await resonate(tiny, context, options, block)).toEqual(whole);
    }
  });

  it("is the same for a cue alone and among others of its length", async () => {
    const context = randomIntegers(4, 500, 256);
    const cues = [10, 50, 200].map((at) => [...context.subarray(at, at + 24)]);
    const together = await resonate(tiny, context, { cues, modes });
    for (const [i, cue] of cues.entries()) {
      const alone = await resonate(tiny, context, { cues: [cue], modes });
      expect(together.slice(3 * i, 3 * i + 3)).toEqual(alone);
    }
  });

  it("finds a cue longer than a block of the GPU, and one longer than its context", async () => {
    const context = randomIntegers(5, 8500, 256);
    const long = await resonate(tiny, context, {
      cues: [[...context.subarray(500, 7600)]],
      modes: ["hybrid"],
    });
    expect(long[0]!.flatMap(({ similarity }, p) => (similarity === 1 ? [p] : []))).toEqual([500]);
    const over = await resonate(tiny, context.subarray(0, 30), {
      cues: [[...context.subarray(0, 60)]],
      modes: ["hybrid"],
    });
    expect(over[0]![0]!.similarity).toBeGreaterThan(0.4);
    expect(over[0]![0]!.similarity).toBeLessThan(0.6);
  });

  it("comes from the memories alone: without them nothing ranks above anything", async () => {
    const context = randomIntegers(6, 600, 256);
    const cue = [...context.subarray(300, 330)];
    const options = { cues: [cue], modes };
    for (const column of await resonate(tiny, context, options)) {
      expect(column.findIndex(({ similarity }) => similarity === 1)).toBe(300);
    }
    const [block, ...others] = tiny.weights.blocks;
    const decay = gpu.upload("memories that hold nothing", new Float32Array(block!.decay.size / 4));
    const weights = { ...tiny.weights, blocks: [{ ...block!, decay }, ...others] };
    const empty = { gpu, weights, tokenizer: tiny.tokenizer };
    for (const column of await resonate(empty, context, options)) {
      expect(new Set(column.map(({ similarity }) => similarity))).toEqual(new Set([0]));
    }
    const search = await Search.open(empty, { ...options, capacity: 5 });
    await search.push(context);
    await search.finish();
    modes.forEach((_, mode) => {
      expect(search.ranking(0, mode).confidence(search.peaks(mode)[0]!.peak.similarity)).toBeLessThan(0.01);
      expect(search.peaks(mode).map(({ peak }) => peak.position)).not.toContain(300);
    });
    search.close();
  });

  it("searches with a base model's first adapter, which has a vector memory alone", async () => {
    const files = await openModelFolder(
      fixturePath("base-models/neox-parallel"),
      fixturePath("checkpoints/adapters_d32_zip.pt"),
    );
    const model = await Model.load(gpu, files);
    const context = randomIntegers(8, 3000, model.config.vocabulary);
    const cue = [...context.subarray(2000, 2040)];
    const damaged = [...cue.slice(0, 11), 1, ...cue.slice(12, 25), ...cue.slice(26)];
    const columns = await resonate(model, context, { cues: [cue, damaged], modes: ["pvm"] });
    expect(columns[0]!.flatMap(({ similarity }, p) => (similarity === 1 ? [p] : []))).toEqual([2000]);
    const best = columns[1]!.reduce(
      (top, { similarity }, p, all) => (similarity > all[top]!.similarity ? p : top),
      0,
    );
    expect([best, columns[1]![best]!.lag]).toEqual([2000, 1]);
    const search = Search.open(model, { cues: [cue], modes: ["hybrid"], capacity: 1 });
    expect(await refusal(search)).toMatchObject({ option: "mode" });
    await files.close();
  });

  it("holds the same bytes whatever goes by, and gives them back", async () => {
    featuresOf(tiny);
    const before = gpu.bytes;
    const context = randomIntegers(7, 30_000, 256);
    const search = await Search.open(tiny, {
      cues: [
        [1, 2, 3],
        [4, 5],
      ],
      modes,
      capacity: 20,
    });
    await search.push(context.subarray(0, 512));
    const bytes = search.bytes;
    await search.push(context.subarray(512));
    await search.finish();
    expect(search.bytes).toBe(bytes);
    search.close();
    expect(gpu.bytes).toBe(before);
  });

  it("refuses a token that the model lacks, and goes on", async () => {
    const resonance = await Resonance.open(tiny, { cues: [[1, 2]], modes: ["pvm"] });
    const tell = (): void => {};
    expect(await refusal(resonance.push(Uint32Array.of(1, 999), tell))).toMatchObject({
      code: "invalid_argument",
    });
    await resonance.push(Uint32Array.of(1, 2), tell);
    resonance.destroy();
    const wrong = Resonance.open(tiny, { cues: [[1, -1]], modes: ["pvm"] });
    expect(await refusal(wrong)).toMatchObject({ code: "invalid_argument" });
  });
});
