import { readFileSync } from "node:fs";
import { stat } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { relativeError, testGpu } from "../test/gpu.ts";
import { loadDefault, openFixture, readJson } from "../test/models.ts";
import { collect } from "./generate.ts";
import type { Model } from "./model.ts";

interface Expected {
  readonly greedy_prompt: string;
  readonly greedy_text: string;
  readonly parameters: number;
  readonly validation: {
    readonly window: number;
    readonly windows: number;
    readonly loss_windows_from_empty_state: number;
    readonly stream_tokens: number;
    readonly loss_one_uninterrupted_stream: number;
  };
  readonly phase: {
    readonly order_parameter_per_block_prompt_mean: readonly number[];
    readonly phase_coherence_prompt_mean: number;
    readonly phase_coherence_greedy_mean: number;
    readonly gamma: readonly number[];
  };
}

const expected = readJson("shakespeare/expected.json") as Expected;
const vectors = openFixture("shakespeare/expected.safetensors");
const vector = async (name: string): Promise<Float32Array> => (await vectors).float32(name);
const ids = async (name: string): Promise<number[]> => Array.from(await vector(name));

let models: { readonly f32: Promise<Model>; readonly f16: Promise<Model> } | undefined;
async function defaultModel(format: "f32" | "f16"): Promise<Model> {
  const gpu = await testGpu();
  models ??= { f32: loadDefault(gpu), f16: loadDefault(gpu, { format: "f16" }) };
  return models[format];
}

const column = (measures: ArrayLike<number>, which: number): number[] =>
  Array.from(measures).filter((_, i) => i % 4 === which);
const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

describe("the default model", () => {
  it("has the parameters and the γ that its makers published", async () => {
    const { weights } = await defaultModel("f32");
    expect(weights.parameters).toBe(expected.parameters);
    weights.blocks.forEach(({ constants }, layer) => {
      expect(Math.abs(constants.gamma / expected.phase.gamma[layer]! - 1)).toBeLessThan(1e-6);
    });
  });

  it("encodes the prompt as its makers did", async () => {
    const model = await defaultModel("f32");
    expect(await model.encode(expected.greedy_prompt)).toEqual(await ids("prompt_ids"));
  });

  it("gives the prompt's logits, state and R within 2e-5 in one pass, and the same 200 tokens later", async () => {
    const { runner, weights } = await defaultModel("f32");
    const prompt = await ids("prompt_ids");
    const greedy = await ids("greedy_ids");
    const [layers, { size: d, taps }] = [weights.blocks.length, weights.shape];
    const slot = runner.pool.take();
    runner.pool.clear(slot);
    try {
      const logits = await vector("logits");
      const pass = runner.pass(slot, 0, prompt, prompt.length, { measure: true });
      const [passed, measures] = await Promise.all([
        pass.readFloats("logits", 0, logits.length),
        pass.readFloats("metrics", 0, prompt.length * layers * 4),
      ]);
      expect(relativeError(passed, logits)).toBeLessThan(2e-5);
      const order = column(measures, 0);
      expected.phase.order_parameter_per_block_prompt_mean.forEach((value, layer) => {
        const found = mean(order.filter((_, i) => i % layers === layer));
        expect(Math.abs(found / value - 1)).toBeLessThan(1e-4);
      });
      expect(Math.abs(mean(order) / expected.phase.phase_coherence_prompt_mean - 1)).toBeLessThan(1e-4);

      const { state } = await runner.pool.read(slot);
      for (let layer = 0; layer < layers; layer++) {
        const at = layer * (taps + 1) * d;
        const pvm = at + (taps - 1) * d;
        for (const [part, from, to] of [
          ["conv", at, pvm],
          ["pvm", pvm, pvm + d],
          ["plm", pvm + d, pvm + 2 * d],
        ] as const) {
          const error = relativeError(state.subarray(from, to), await vector(`state.${layer}.${part}`));
          expect(error, `state.${layer}.${part}`).toBeLessThan(2e-5);
        }
      }

      const orders: number[] = [];
      const after = await vector("logits_after_greedy");
      let last = new Float32Array();
      for (const [i, id] of greedy.entries()) {
        const outputs = runner.step(slot, prompt.length + i, id, true);
        const read = [
          outputs.readFloats("metrics", 0, layers * 4),
          outputs.readFloats("logits", 0, after.length),
        ];
        const [metrics, logits] = await Promise.all(read);
        orders.push(...column(metrics!, 0));
        last = Float32Array.from(logits!);
      }
      expect(Math.abs(mean(orders) / expected.phase.phase_coherence_greedy_mean - 1)).toBeLessThan(1e-4);
      expect(relativeError(last, after)).toBeLessThan(2e-5);
    } finally {
      runner.pool.give(slot);
    }
  });

  it.each(["f32", "f16"] as const)("in %s draws its 200 greedy tokens and their text", async (format) => {
    const model = await defaultModel(format);
    const { tokens, text, reason } = await collect(
      model.generate(expected.greedy_prompt, { temperature: 0, maxTokens: 200 }),
    );
    expect(tokens).toEqual(await ids("greedy_ids"));
    expect(text).toBe(expected.greedy_text);
    expect(reason).toBe("length");
  });

  it("reports the greedy tokens' phase coherence as its own measure", async () => {
    const model = await defaultModel("f32");
    const settings = { temperature: 0, maxTokens: 200, metrics: true };
    const { phase } = await collect(model.generate(expected.greedy_prompt, settings));
    expect(Math.abs(phase!.phaseCoherence! / expected.phase.phase_coherence_greedy_mean - 1)).toBeLessThan(
      1e-4,
    );
  });
});

const DATA = fileURLToPath(new URL("../../shared/data/tinyshakespeare/input.txt", import.meta.url));
const absent = !(await stat(DATA).catch(() => undefined));
const TENTH = 1003854;

describe.skipIf(absent)("the default model's losses (need ../shared/data/tinyshakespeare)", () => {
  const validation = (): number[] => Array.from(readFileSync(DATA).subarray(TENTH));
  const { window, windows, stream_tokens, ...losses } = expected.validation;

  it("in f32 is its makers' within 0.02% in windows from an empty state", {
    timeout: 3_600_000,
  }, async () => {
    const model = await defaultModel("f32");
    const { loss, tokens } = await model.evaluate(validation(), { window });
    expect(tokens).toBe(window * windows);
    expect(Math.abs(loss / losses.loss_windows_from_empty_state - 1)).toBeLessThan(2e-4);
  });

  it("in f32 is its makers' within 0.02% in one uninterrupted stream", { timeout: 600_000 }, async () => {
    const model = await defaultModel("f32");
    const { loss, tokens } = await model.evaluate(validation().slice(0, stream_tokens + 1), {});
    expect(tokens).toBe(stream_tokens);
    expect(Math.abs(loss / losses.loss_one_uninterrupted_stream - 1)).toBeLessThan(2e-4);
  });

  it("in f16 is within 0.1% of f32's over the first 24 windows", { timeout: 600_000 }, async () => {
    const text = validation().slice(0, 24 * window + 1);
    const f32 = await (await defaultModel("f32")).evaluate(text, { window });
    const f16 = await (await defaultModel("f16")).evaluate(text, { window });
    expect(f16.tokens).toBe(24 * window);
    expect(Math.abs(f16.loss / f32.loss - 1)).toBeLessThan(1e-3);
  });
});
