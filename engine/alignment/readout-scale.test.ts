import { afterEach, describe, expect, it, vi } from "vitest";
import { logprobsReference } from "../../kernels/logprobs/reference.ts";
import { firstDifference, randomFloats, randomIntegers, relativeError, testGpu } from "../../test/gpu.ts";
import { collectBytes, generated, goldenModelFiles, loadTiny } from "../../test/models.ts";
import { bytesSource } from "../../weights/byte-source.ts";
import { openSafetensors } from "../../weights/safetensors.ts";
import { refusal } from "../../weights/testing/fixtures.ts";
import { collect } from "../generate.ts";
import { Model } from "../model.ts";
import { type Alignment, encodeAlignment } from "./alignment-file.ts";
import { calibrate } from "./calibrate.ts";
import { readEmbeddings } from "./embeddings.ts";
import { readouts } from "./readouts.ts";
import { loadBase } from "./testing/base-model.ts";

const gpu = await testGpu();
afterEach(() => vi.restoreAllMocks());

/** Random, so that a readout's bias is as large as the logits. */
const alignmentOf = ({ weights }: Pick<Model, "weights">, seed = 1): Alignment => ({
  weights: randomFloats(seed, weights.shape.size ** 2),
  lambda: 1,
  tokens: 100,
  residual: 0.5,
});

function aligned(model: Model): Model {
  model.align(alignmentOf(model));
  return model;
}

let opened: Promise<Model> | undefined;
/** One scan chunk of prompt rows: a longer prompt takes several passes. */
const tiny = (): Promise<Model> => {
  opened ??= loadTiny(gpu, { promptRows: 64, slots: 4 }).then(aligned);
  return opened;
};

const PROMPT = "the oscillators agree";
const OPTIONS = { seed: 3, temperature: 1.4, topK: 20, maxTokens: 24 } as const;

/** λ m_t W Eᵀ after each of `tokens`, in f64: `[tokens, V]`. */
async function biasOf(model: Model, tokens: Uint32Array, scale: number): Promise<Float64Array> {
  const { size } = model.weights.shape;
  const { vocabulary } = model.config;
  const w = alignmentOf(model).weights;
  const all = Array.from({ length: vocabulary }, (_, id) => id);
  const e = await readEmbeddings(gpu, model.weights, all);
  const out = new Float64Array(tokens.length * vocabulary);
  for await (const { start, z } of readouts(model.runner, tokens)) {
    for (let row = 0; row < z.length / size; row++) {
      const v = new Float64Array(size);
      for (let i = 0; i < size; i++) {
        for (let d = 0; d < size; d++) v[d]! += z[row * size + i]! * w[i * size + d]!;
      }
      for (const id of all) {
        const bias = e.row(id).reduce((sum, value, d) => sum + value * v[d]!, 0);
        out[(start + row) * vocabulary + id] = scale * bias;
      }
    }
  }
  return out;
}

/** Logits after each token, as passes of so many rows, or as steps: `[tokens, V]`. */
async function logitsOf(
  { runner, config }: Model,
  tokens: Uint32Array,
  rows: number | "steps",
  readoutScale: number,
): Promise<Float32Array> {
  const { vocabulary } = config;
  const out = new Float32Array(tokens.length * vocabulary);
  const width = rows === "steps" ? 1 : rows;
  const slot = runner.pool.take();
  runner.pool.clear(slot);
  for (let start = 0; start < tokens.length; start += width) {
    const part = tokens.subarray(start, start + width);
    const outputs =
      rows === "steps"
        ? runner.step(slot, start, part[0]!, false, readoutScale)
        : runner.pass(slot, start, part, part.length, { readoutScale });
    out.set(await outputs.readFloats("logits", 0, part.length * vocabulary), start * vocabulary);
  }
  runner.pool.give(slot);
  return out;
}

describe("a readout's logit bias", () => {
  it.each<[string, () => Promise<Model>]>([
    ["a native model", tiny],
    ["a native model in q8", async () => aligned(await loadTiny(gpu, { format: "q8", promptRows: 64 }))],
    ...(["embedding", "layers"] as const).flatMap((placement) =>
      (["on", "bypass"] as const).map((attention): [string, () => Promise<Model>] => [
        `adapters, ${placement}, attention ${attention}`,
        async () => aligned(await loadBase({ placement, attention })),
      ]),
    ),
  ])("is λ m W Eᵀ on the logits of a pass and of steps: %s", async (_, load) => {
    const model = await load();
    const tokens = randomIntegers(2, 70, model.config.vocabulary);
    const scale = 0.75;
    const bias = await biasOf(model, tokens, scale);
    for (const rows of [64, "steps"] as const) {
      const plain = await logitsOf(model, tokens, rows, 0);
      const biased = await logitsOf(model, tokens, rows, scale);
      expect(
        relativeError(
          biased,
          bias.map((value, i) => plain[i]! + value),
        ),
      ).toBeLessThan(2e-6);
      // It is no small part of what was compared.
      expect(relativeError(biased, plain)).toBeGreaterThan(0.1);
    }
  });

  it.each([21, 141])(
    "chooses every generated token, the first after a prompt of %i included",
    async (length) => {
      const model = await tiny();
      const { runner, config } = model;
      const prompt = Array.from(randomIntegers(5, length, 256));
      const penalty = 1.6;
      const counts = new Set<number>(prompt);
      const slot = runner.pool.take();
      runner.pool.clear(slot);
      const expected: number[] = [];
      for (let t = 0; expected.length < 20; t++) {
        const token = prompt[t] ?? expected[t - prompt.length]!;
        counts.add(token);
        const outputs = runner.step(slot, t, token, false, 0.5);
        const values = await outputs.readFloats("logits", 0, config.vocabulary);
        if (t < prompt.length - 1) continue;
        // The penalty comes after the bias.
        const scores = values.map((value, id) => {
          if (!counts.has(id)) return value;
          return value < 0 ? value * penalty : value / penalty;
        });
        expected.push(scores.indexOf(Math.max(...scores)));
      }
      runner.pool.give(slot);
      const options = { temperature: 0, repetitionPenalty: penalty, maxTokens: 20 };
      const { tokens } = await generated(model, prompt, { ...options, readoutScale: 0.5 });
      expect(tokens).toEqual(expected);
      expect((await generated(model, prompt, options)).tokens).not.toEqual(expected);
    },
  );

  it("is part of what log-probabilities, scores and losses are of", async () => {
    const model = await tiny();
    const readoutScale = 0.3;
    const prompt = await model.encode(PROMPT);
    const finish = await generated(model, prompt, { ...OPTIONS, logprobs: 2, readoutScale });
    const tokens = [...prompt, ...finish.tokens];
    const logits = await logitsOf(model, Uint32Array.from(tokens), "steps", readoutScale);
    const { vocabulary } = model.config;
    const expected = tokens
      .slice(1)
      .map(
        (next, t) =>
          logprobsReference(logits.subarray(t * vocabulary, (t + 1) * vocabulary), next, 2).logprob,
      );
    const scored = await model.score(tokens, 2, { readoutScale });
    const told = [...scored.slice(0, prompt.length - 1), ...finish.logprobs!];
    for (const found of [scored, told]) {
      const off = found.map(({ logprob }, t) => Math.abs(logprob - expected[t]!));
      expect(Math.max(...off)).toBeLessThan(2e-5);
    }
    const mean = -expected.reduce((sum, logprob) => sum + logprob, 0) / expected.length;
    const { loss } = await model.evaluate(tokens, { readoutScale });
    expect(Math.abs(loss / mean - 1)).toBeLessThan(1e-6);
    const half = (tokens.length - 1) >> 1;
    const windows = await model.evaluate(tokens.slice(0, 2 * half + 1), { window: half, readoutScale });
    const parts = [tokens.slice(0, half + 1), tokens.slice(half, 2 * half + 1)];
    const apart = await Promise.all(parts.map((part) => model.evaluate(part, { readoutScale })));
    expect(Math.abs(windows.loss - (apart[0]!.loss + apart[1]!.loss) / 2)).toBeLessThan(1e-6);
  });

  it("are the same however far decoding runs ahead, wherever the reader leaves and after a restore", async () => {
    const model = await tiny();
    const options = { ...OPTIONS, maxTokens: 40, readoutScale: 0.4, logprobs: 1 };
    const waiting = await generated(model, PROMPT, { ...options, runAhead: 0 });
    for (const runAhead of [1, 8, 32]) {
      expect(await generated(model, PROMPT, { ...options, runAhead })).toEqual(waiting);
    }
    const first = await generated(model, PROMPT, { ...options, maxTokens: 13 });
    const stream = await model.restore(first.saved as Uint8Array<ArrayBuffer>);
    let read = 0;
    const again: number[] = [];
    for await (const { token } of model.generate("", { ...options, maxTokens: 27, stream })) {
      if (token !== undefined) again.push(token);
      if (++read === 5) break;
    }
    const rest = await collect(model.generate("", { ...options, maxTokens: 22, stream }));
    stream.close();
    expect([...first.tokens, ...again, ...rest.tokens]).toEqual(waiting.tokens);
    const { pool, snapshots } = model.runner;
    expect([pool.free, snapshots.free]).toEqual([pool.slots, snapshots.slots]);
  });

  it("of one stream leave another alone that takes turns with it", async () => {
    const model = await tiny();
    const scales = [0.4, 0, 2];
    const alone = [];
    for (const readoutScale of scales)
      alone.push((await generated(model, PROMPT, { ...OPTIONS, readoutScale })).tokens);
    expect(new Set(alone.map(String)).size).toBe(3);
    const together = await Promise.all(
      scales.map((readoutScale) => generated(model, PROMPT, { ...OPTIONS, readoutScale })),
    );
    expect(together.map(({ tokens }) => tokens)).toEqual(alone);
  });

  it("teach a model that knows nothing of a text what comes next in it", async () => {
    const model = await loadTiny(gpu, { slots: 2 });
    const tokens = await model.encode("abcdefghijklmnopqrst".repeat(30));
    const { alignment } = await calibrate(model, tokens.slice(0, 300), { lambda: 1e-2 });
    model.align(alignment);
    const unseen = tokens.slice(300);
    expect((await model.evaluate(unseen, {})).loss).toBeGreaterThan(5);
    expect((await model.evaluate(unseen, { readoutScale: 0.3 })).loss).toBeLessThan(0.1);
  });

  it("follow the alignment that was given last", async () => {
    const model = aligned(await loadTiny(gpu, { slots: 1 }));
    const tokens = randomIntegers(3, 5, 300);
    const before = await logitsOf(model, tokens, "steps", 1);
    model.align(alignmentOf(model, 9));
    expect(firstDifference(await logitsOf(model, tokens, "steps", 1), before)).toBe(0);
    model.align(alignmentOf(model));
    expect(firstDifference(await logitsOf(model, tokens, "steps", 1), before)).toBe(-1);
  });
});

describe("a readout scale of 0", () => {
  it("changes no bit and adds no dispatch, whether there is an alignment or none", async () => {
    const plain = await loadTiny(gpu, { promptRows: 64, slots: 4 });
    const model = await tiny();
    expect(model.runner.dispatchesPerToken).toBe(plain.runner.dispatchesPerToken);
    const tokens = randomIntegers(4, 70, 300);
    for (const rows of [64, "steps"] as const) {
      const without = await logitsOf(plain, tokens, rows, 0);
      expect(firstDifference(await logitsOf(model, tokens, rows, 0), without)).toBe(-1);
    }
    const recorded = vi.spyOn(gpu, "record");
    const dispatched = async (of: Model, readoutScale?: number): Promise<string[]> => {
      recorded.mockClear();
      const { seed, ...options } = { ...OPTIONS, maxTokens: 3, runAhead: 1 };
      await generated(of, PROMPT, { ...options, seed, readoutScale });
      return recorded.mock.calls.flatMap(([, list]) => list.map(({ label }) => label));
    };
    const without = await dispatched(plain);
    expect(await dispatched(model)).toEqual(without);
    expect(await dispatched(model, 0)).toEqual(without);
    // The prompt's readouts, each step's, and two products for each token drawn.
    expect((await dispatched(model, 0.1)).length).toBe(without.length + 1 + 2 + 2 * 3);
  });
});

describe("a readout scale", () => {
  it("is refused by name out of its range, and above 0 without an alignment", async () => {
    const [model, plain] = [await tiny(), await loadTiny(gpu, { slots: 1 })];
    const tokens = [1, 2, 3];
    const calls = (of: Model, readoutScale: number): (() => Promise<unknown>)[] => [
      () => collect(of.generate(tokens, { readoutScale })),
      () => of.score(tokens, 0, { readoutScale }),
      () => of.evaluate(tokens, { readoutScale }),
    ];
    for (const scale of [-1, 100.5, Number.NaN, Number.POSITIVE_INFINITY]) {
      for (const call of calls(model, scale)) {
        expect(await refusal(call())).toMatchObject({ code: "invalid_argument", where: "readoutScale" });
      }
    }
    for (const call of calls(plain, 1)) {
      const error = await refusal(call());
      expect(error).toMatchObject({ code: "invalid_argument", where: "readoutScale" });
      expect(error.message).toMatch("has no alignment");
    }
    const { pool, snapshots } = plain.runner;
    expect([pool.free, snapshots.free]).toEqual([pool.slots, snapshots.slots]);
    expect((await collect(plain.generate(tokens, { readoutScale: 0, maxTokens: 1 }))).tokens).toHaveLength(1);
  });
});

describe("an alignment", () => {
  const fileOf = async (owner: Model, alignment: Alignment) =>
    openSafetensors(
      bytesSource("a.safetensors", new Uint8Array(await collectBytes(encodeAlignment(owner, alignment)))),
    );

  it("that a model is loaded with biases logits as one given later, and is reported", async () => {
    const model = await tiny();
    expect(model.alignment).toEqual({ lambda: 1, tokens: 100, residual: 0.5 });
    const files = await goldenModelFiles("native_long");
    const alignment = await fileOf(model, alignmentOf(model));
    const loaded = await Model.load(gpu, { ...files, alignment }, { promptRows: 64, slots: 1 });
    expect(loaded.alignment).toEqual(model.alignment);
    const options = { ...OPTIONS, readoutScale: 1 };
    expect(await generated(loaded, PROMPT, options)).toEqual(await generated(model, PROMPT, options));
    expect((await Model.load(gpu, files, { slots: 1 })).alignment).toBeUndefined();
  });

  it("of another model, of another size or for no memory is refused", async () => {
    const model = await tiny();
    const other = await loadTiny(gpu, { slots: 1 }, { bos_token_id: 1 });
    const alignment = await fileOf(other, alignmentOf(other));
    const files = { ...(await goldenModelFiles("native_long")), alignment };
    const error = await refusal(Model.load(gpu, files, { slots: 1 }));
    expect(error).toMatchObject({ code: "invalid_file", where: "a.safetensors" });
    expect(error.message).toMatch(/another model/);
    const small = { ...alignmentOf(model), weights: new Float32Array(9) };
    expect(() => model.align(small)).toThrow("alignment: 9 numbers are no [64, 64]");
    const bare = await loadBase({}, false);
    expect(() => bare.align(alignmentOf(bare))).toThrow("no phase-vector memory");
  });
});
