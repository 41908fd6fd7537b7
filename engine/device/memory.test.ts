import { afterEach, describe, expect, it, vi } from "vitest";
import { randomFloats, testGpu } from "../../test/gpu.ts";
import { byteTokenizer, fixturePath, loadTiny } from "../../test/models.ts";
import { collect } from "../generate.ts";
import { type LoadOptions, Model } from "../model.ts";
import { openModelFolder } from "../platform/node/files.ts";

const gpu = await testGpu();
afterEach(() => vi.restoreAllMocks());

const sum = (of: object): number => Object.values(of).reduce((all: number, bytes: number) => all + bytes, 0);

/** Adapters on a small base model with 400 positions. */
async function loadBase(options: LoadOptions): Promise<Model> {
  const folder = fixturePath("base-models/neox-parallel");
  const files = await openModelFolder(folder, fixturePath("checkpoints/adapters_d32_zip.pt"));
  const named = { ...files, ...byteTokenizer(), name: "base" };
  return Model.load(gpu, named, { ...options, attention: "on" }).finally(files.close);
}

const MODELS: [name: string, load: (options: LoadOptions) => Promise<Model>][] = [
  ["a native model", (options) => loadTiny(gpu, options)],
  ["a base model with attention", loadBase],
];

describe.each(MODELS)("the memory of %s", (_, load) => {
  it("adds up to what the device gave: when it is loaded, and after each kind of work", async () => {
    const before = gpu.bytes;
    const model = await load({ slots: 9, promptRows: 128 });
    const taken = (): number => gpu.bytes - before;
    expect(sum(model.memory)).toBe(taken());
    expect(model.memory).toMatchObject({ prompts: 0, prefixes: 0, staging: 0, alignment: 0 });
    const prompt = Array.from({ length: 70 }, (_, i) => (i * 31) % 128);
    const say = (seed: number) =>
      collect(model.generate(prompt, { maxTokens: 4, seed, logprobs: 2, phaseTemperature: 1 }));
    await say(1);
    expect(sum(model.memory)).toBe(taken());
    expect(model.memory.prompts).toBeGreaterThan(0);
    await Promise.all(Array.from({ length: 9 }, (_, seed) => say(seed)));
    expect(sum(model.memory)).toBe(taken());
    await model.score(prompt, 1);
    await model.evaluate(prompt, { window: 32 });
    expect(sum(model.memory)).toBe(taken());
    const { size } = model.weights.shape;
    model.align({ weights: randomFloats(1, size * size), lambda: 1, tokens: 1, residual: 0 });
    await collect(model.generate(prompt, { maxTokens: 4, readoutScale: 0.5 }));
    expect(sum(model.memory)).toBe(taken());
    expect(model.memory.alignment).toBeGreaterThan(0);
    model.runner.reserve();
    expect(sum(model.memory)).toBe(taken());
    expect(model.memory.attention > 0).toBe(model.config.base !== null);
    expect(model.memory.prefixes > 0).toBe(model.runner.portable);
  });

  it("is all taken by reserve: a first prompt and its tokens make no buffer after it", async () => {
    const model = await load({ slots: 1, promptRows: 128 });
    model.runner.reserve();
    const [bytes, memory] = [gpu.bytes, model.memory];
    await collect(
      model.generate(
        Array.from({ length: 70 }, (_, i) => i),
        { maxTokens: 1 },
      ),
    );
    expect(gpu.bytes).toBe(bytes);
    expect(model.memory).toEqual(memory);
  });

  it("stays as it is while 200 tokens are decoded, and no buffer is made", async () => {
    const model = await load({ slots: 2, promptRows: 128 });
    const decode = (stream = model.open()) =>
      collect(model.generate([1, 2, 3], { maxTokens: 200, stream, temperature: 1, seed: 7 }));
    await decode();
    const made = vi.spyOn(gpu.device, "createBuffer");
    const [bytes, memory] = [gpu.bytes, model.memory];
    const { tokens } = await decode();
    expect(tokens).toHaveLength(200);
    expect(made).not.toHaveBeenCalled();
    expect(gpu.bytes).toBe(bytes);
    expect(model.memory).toEqual(memory);
    gpu.uniform("seen by the spy", new Uint32Array(4)).destroy();
    expect(made).toHaveBeenCalledOnce();
  });
});

it("a stream's part of a runner's memory is what one more stream takes, but for what does not grow", async () => {
  const before = gpu.bytes;
  const few = await loadTiny(gpu, { slots: 8 });
  const between = gpu.bytes;
  const many = await loadTiny(gpu, { slots: 16 });
  const one = (gpu.bytes - between - (between - before)) / 8;
  for (const { runner } of [few, many]) {
    expect(runner.memoryPerStream).toBeGreaterThanOrEqual(one);
  }
  expect(many.runner.memoryPerStream).toBeLessThan(1.5 * one);
});
