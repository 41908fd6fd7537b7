import { readdirSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { relativeError, testGpu } from "../../test/gpu.ts";
import { byteTokenizer, fixturePath, openFixture, readJson } from "../../test/models.ts";
import type { TensorFile } from "../../weights/tensor-file.ts";
import { collect } from "../generate.ts";
import { type LoadOptions, Model } from "../model.ts";
import { openModelFolder } from "../platform/node/files.ts";
import { retrieve } from "../retrieval/retrieval.ts";
import { gptNeox } from "./gpt-neox.ts";
import { llama } from "./llama.ts";

const gpu = await testGpu();
const folder = "base-models";
const names = readdirSync(fixturePath(folder)).filter((name) => !name.includes("."));
/** Refused by name: its angles depend on how much is read at once. */
const DYNAMIC = "llama-dynamic";

async function load(name: string, options: LoadOptions = {}, adapters?: string): Promise<Model> {
  const files = await openModelFolder(fixturePath(`${folder}/${name}`), adapters);
  try {
    return await Model.load(gpu, { ...files, ...byteTokenizer(), name }, { slots: 4, ...options });
  } finally {
    await files.close();
  }
}

const integers = async (file: TensorFile, name: string): Promise<number[]> =>
  Array.from(await file.float32(name));

/** Logits of every row of one pass over `tokens`, `[rows, V]`. */
async function passLogits({ runner, config }: Model, tokens: readonly number[]): Promise<Float32Array[]> {
  const rows: Float32Array[] = [];
  const slot = runner.pool.take();
  runner.pool.clear(slot);
  const { passLength } = runner.prefill;
  for (let at = 0; at < tokens.length; at += passLength) {
    const part = tokens.slice(at, at + passLength);
    const outputs = runner.pass(slot, at, part, part.length);
    const values = await outputs.readFloats("logits", 0, part.length * config.vocabulary);
    for (let row = 0; row < part.length; row++) {
      rows.push(values.subarray(row * config.vocabulary, (row + 1) * config.vocabulary));
    }
  }
  runner.pool.give(slot);
  return rows;
}

async function stepLogits({ runner, config }: Model, tokens: readonly number[]): Promise<Float32Array[]> {
  const rows: Float32Array[] = [];
  const slot = runner.pool.take();
  runner.pool.clear(slot);
  for (const [position, token] of tokens.entries()) {
    rows.push(await runner.step(slot, position, token).readFloats("logits", 0, config.vocabulary));
  }
  runner.pool.give(slot);
  return rows;
}

const flat = (rows: readonly Float32Array[]): Float32Array =>
  Float32Array.from(rows.flatMap((row) => Array.from(row)));

/**
 * Compares a model's logits with those under `prefix` in an expected file: for prompts of 1, 17 and 300 tokens as one pass, and
 * for those of at most `mostSteps` token by token, too.
 */
async function expectLogits(
  model: Model,
  expected: TensorFile,
  prompts: TensorFile,
  { prefix = "", mostSteps = 300 }: { readonly prefix?: string; readonly mostSteps?: number } = {},
): Promise<void> {
  for (const length of [1, 17, 300]) {
    const prompt = await integers(prompts, `prompt_${length}`);
    const right = await expected.float32(`${prefix}logits_${length}`);
    const places = length === 300 ? await integers(prompts, "positions_300") : prompt.map((_, i) => i);
    for (const logits of length <= mostSteps ? [passLogits, stepLogits] : [passLogits]) {
      const rows = await logits(model, prompt);
      const found = flat(places.map((place) => rows[place]!));
      expect(relativeError(found, right), `${length} tokens, ${logits.name}`).toBeLessThan(1e-5);
    }
  }
}

/** The most likely tokens after a prompt; a token that ends a text does not end this. */
async function sayGreedily({ runner }: Model, prompt: readonly number[], count: number): Promise<number[]> {
  const sampling = {
    temperature: 0,
    topK: 0,
    topP: 1,
    repetitionPenalty: 1,
    phaseTemperature: 0,
    seed: 0,
    choice: 0,
  };
  const settings = { sampling, measure: false };
  const slot = runner.pool.take();
  runner.pool.clear(slot);
  const said: number[] = [];
  let run = runner.prompt(slot, 0, prompt, settings);
  for (let position = prompt.length; said.length < count; position++) {
    said.push((await run.results)[0]!.token);
    run = runner.steps(slot, position, 1, settings);
  }
  runner.pool.give(slot);
  return said;
}

describe.each(names.filter((name) => name !== DYNAMIC))("%s", (name) => {
  it("gives transformers' logits within 1e-5, in one pass and token by token", async () => {
    const expected = await openFixture(`${folder}/${name}/expected.safetensors`);
    await expectLogits(await load(name), expected, expected);
  });

  it("says what transformers says greedily over 64 tokens", async () => {
    const expected = await openFixture(`${folder}/${name}/expected.safetensors`);
    const model = await load(name);
    const greedy = await integers(expected, "greedy_17");
    expect(await sayGreedily(model, await integers(expected, "prompt_17"), greedy.length)).toEqual(greedy);
  });
});

const variants = (["embedding", "layers"] as const).flatMap((placement) =>
  (["on", "bypass"] as const).map((attention) => ({ placement, attention })),
);
/** Each placement and each attention once. */
const [embeddingOn, , , layersBypass] = variants;

describe.each([
  ["neox-parallel", variants],
  ["neox-sequential", [embeddingOn!, layersBypass!]],
  ["llama-mha", variants],
  ["llama-gqa-tied", [embeddingOn!, layersBypass!]],
] as const)("%s with three adapters", (name, variants) => {
  const checkpoint = fixturePath("checkpoints/adapters_d32_zip.pt");

  it.each(variants)(
    "gives the oracle's logits and greedy text: $placement, attention $attention",
    async (options) => {
      const prompts = await openFixture(`${folder}/${name}/expected.safetensors`);
      const expected = await openFixture(`${folder}/${name}/expected-adapters.safetensors`);
      const model = await load(name, options, checkpoint);
      const prefix = `${options.placement}_${options.attention}.`;
      await expectLogits(model, expected, prompts, { prefix, mostSteps: 17 });
      const greedy = await integers(expected, `${prefix}greedy`);
      expect(await sayGreedily(model, await integers(expected, "prompt_greedy"), greedy.length)).toEqual(
        greedy,
      );
    },
  );

  it("gives the oracle's logits with attention bypassed and no adapter", async () => {
    const prompts = await openFixture(`${folder}/${name}/expected.safetensors`);
    const expected = await openFixture(`${folder}/${name}/expected-adapters.safetensors`);
    await expectLogits(await load(name, { attention: "bypass" }), expected, prompts, {
      prefix: "none_bypass.",
    });
  });
});

describe("a base model", () => {
  it("reads its configuration the same in the form of transformers 4", async () => {
    for (const name of names.filter((one) => one !== DYNAMIC)) {
      const family = name.startsWith("neox") ? gptNeox : llama;
      const [now, then] = ["config.json", "config.v4.json"].map((file) =>
        family.parse(readJson(`${folder}/${name}/${file}`), file),
      );
      expect(then, name).toEqual(now);
    }
  });

  it("ends at its last position with max_tokens, and refuses a prompt beyond it with both numbers", async () => {
    const model = await load("neox-relu-no-bias"); // 320 positions
    const prompt = Array.from({ length: 310 }, (_, i) => i % 90);
    const { tokens, reason, phase } = await collect(
      model.generate(prompt, { temperature: 0, maxTokens: 100, metrics: true }),
    );
    expect([tokens.length, reason]).toEqual([11, "length"]);
    expect(phase).toEqual({ phaseCoherence: null, gammaMean: null, omegaValues: [], phaseOffsets: [] });
    const long = Array.from({ length: 321 }, () => 1);
    await expect(collect(model.generate(long))).rejects.toMatchObject({
      code: "invalid_argument",
      where: "prompt",
      message: expect.stringMatching(/321 tokens.*320 positions/),
    });
  });

  it("draws the same text however far decoding runs ahead, and alone or beside another", async () => {
    const model = await load("llama-gqa-tied");
    const options = { seed: 7, temperature: 1, maxTokens: 40 };
    const prompt = [5, 6, 7, 8, 9];
    const [waited, ahead, beside] = await Promise.all([
      collect(model.generate(prompt, { ...options, runAhead: 0 })),
      collect(model.generate(prompt, { ...options, runAhead: 32 })),
      collect(model.generate([1, 2, 3], { ...options, seed: 8 })),
    ]);
    expect(ahead.tokens).toEqual(waited.tokens);
    expect((await collect(model.generate([1, 2, 3], { ...options, seed: 8 }))).tokens).toEqual(beside.tokens);
  });

  it("draws the same text whatever the phase temperature where it has no block", async () => {
    const model = await load("llama-gqa-tied");
    const options = { seed: 7, temperature: 1, maxTokens: 20 };
    const [plain, scaled] = await Promise.all(
      [0, 3].map((phaseTemperature) => collect(model.generate([5, 6, 7], { ...options, phaseTemperature }))),
    );
    expect(scaled?.tokens).toEqual(plain?.tokens);
  });

  it("has no portable state under attention, and one with attention bypassed", async () => {
    const checkpoint = fixturePath("checkpoints/adapters_d32_model_state_dict.pt");
    const attending = await load("neox-parallel", {}, checkpoint);
    const stream = attending.open();
    await expect(attending.save(stream)).rejects.toMatchObject({ code: "unsupported" });
    expect(() => stream.fork()).toThrow("under attention");
    const model = await load("neox-parallel", { attention: "bypass" }, checkpoint);
    const options = { seed: 1, temperature: 1, keepPending: true };
    const whole = await collect(model.generate([1, 2, 3], { ...options, maxTokens: 20 }));
    const first = model.open();
    const start = await collect(model.generate([1, 2, 3], { ...options, stream: first, maxTokens: 8 }));
    const again = await model.restore(await model.save(first));
    const rest = await collect(model.generate([], { stream: again, temperature: 1, maxTokens: 12 }));
    expect([...start.tokens, ...rest.tokens]).toEqual(whole.tokens);
  });

  it("is searched by the memory of its first adapter on bare embeddings, and has none without", async () => {
    const checkpoint = fixturePath("checkpoints/adapters_d32_zip.pt");
    const model = await load("neox-sharded-padded-vocab", { attention: "bypass" });
    const context = "some words, then the code is X7Z9, and more words to the end";
    const options = { context, needle: "the code is X7Z9", mode: "pvm", topK: 1 } as const;
    await expect(retrieve(model, options)).rejects.toMatchObject({ code: "invalid_argument" });
    const adapted = await load("neox-parallel", {}, checkpoint);
    const { matches } = await retrieve(adapted, options);
    expect(matches[0]).toMatchObject({ text: options.needle, position: context.indexOf(options.needle) });
    expect(matches[0]!.similarity).toBeGreaterThan(0.999);
    await expect(retrieve(adapted, { ...options, mode: "plm" })).rejects.toMatchObject({
      option: "mode",
    });
  });

  it("tells keys of model_config that say nothing, and names adapters that do not fit", async () => {
    const remarks: string[] = [];
    const checkpoint = fixturePath("checkpoints/adapters_d32_zip.pt");
    await load("neox-parallel", { onRemark: (remark) => remarks.push(remark) }, checkpoint);
    expect(remarks).toEqual([]);
    await expect(load("llama-bf16", {}, checkpoint)).rejects.toMatchObject({
      code: "invalid_file",
      message: expect.stringMatching(/adapters_d32_zip\.pt: adapter 0: it is 32 wide, the base model 96/),
    });
    await expect(load("neox-linear", { placement: "layers" }, checkpoint)).rejects.toMatchObject({
      message: expect.stringMatching(/3 adapters, but only 2 layers/),
    });
  });
});

it("refuses rope scaling by the length of what is read at once, by name", async () => {
  await expect(load(DYNAMIC)).rejects.toMatchObject({
    code: "unsupported",
    message: expect.stringContaining("dynamic"),
  });
});
