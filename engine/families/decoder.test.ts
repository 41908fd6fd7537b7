import { readdirSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { relativeError, testGpu } from "../../test/gpu.ts";
import { fixturePath, openFixture } from "../../test/models.ts";
import type { TensorFile } from "../../weights/tensor-file.ts";
import { type LoadOptions, Model } from "../model.ts";
import { openModelFolder } from "../platform/node/files.ts";

const gpu = await testGpu();
const folder = "base-models";
const names = readdirSync(fixturePath(folder)).filter((name) => !name.includes("."));
/** Refused by name: its angles depend on the length of what is read at once. */
const DYNAMIC = "llama-dynamic";

async function load(name: string, options: LoadOptions = {}, adapters?: string): Promise<Model> {
  const files = await openModelFolder(fixturePath(`${folder}/${name}`), adapters);
  try {
    return await Model.load(gpu, { ...files, name }, { slots: 2, ...options });
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
  for (let at = 0; at < tokens.length; at += runner.passLength) {
    const part = tokens.slice(at, at + runner.passLength);
    const { logits } = runner.pass(slot, at, part, part.length);
    const values = await gpu.readFloats(logits, 0, part.length * config.vocabulary);
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
    const { logits } = runner.step(slot, position, token);
    rows.push(await gpu.readFloats(logits, 0, config.vocabulary));
  }
  runner.pool.give(slot);
  return rows;
}

const flat = (rows: readonly Float32Array[]): Float32Array =>
  Float32Array.from(rows.flatMap((row) => Array.from(row)));

/** Holds a model's logits to `prefix` of an expected file, over prompts of 1, 17 and 300 tokens, both ways. */
async function expectLogits(
  model: Model,
  expected: TensorFile,
  prompts: TensorFile,
  prefix = "",
): Promise<void> {
  for (const length of [1, 17, 300]) {
    const prompt = await integers(prompts, `prompt_${length}`);
    const right = await expected.float32(`${prefix}logits_${length}`);
    const places = length === 300 ? await integers(prompts, "positions_300") : prompt.map((_, i) => i);
    for (const logits of [passLogits, stepLogits]) {
      const rows = await logits(model, prompt);
      const found = flat(places.map((place) => rows[place]!));
      expect(relativeError(found, right), `${length} tokens, ${logits.name}`).toBeLessThan(1e-5);
    }
  }
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
    const { runner } = model;
    const stream = model.open();
    const prompt = await integers(expected, "prompt_17");
    const sampling = {
      temperature: 0,
      topK: 0,
      topP: 1,
      repetitionPenalty: 1,
      phaseTemperature: 0,
      seed: 0,
      choice: 0,
    };
    const said: number[] = [];
    let run = runner.prompt(stream.slot, 0, prompt, { sampling, measure: false });
    for (let position = prompt.length; said.length < greedy.length; position++) {
      said.push((await run.results)[0]!.token);
      run = runner.steps(stream.slot, position, 1, { sampling, measure: false });
    }
    expect(said).toEqual(greedy);
  });
});

it("refuses rope scaling by the length of what is read at once, by name", async () => {
  await expect(load(DYNAMIC)).rejects.toMatchObject({
    code: "unsupported",
    message: expect.stringContaining("dynamic"),
  });
});
