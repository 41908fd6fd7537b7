import { describe, expect, it } from "vitest";
import { firstDifference, randomIntegers, testGpu } from "../../test/gpu.ts";
import { loadTiny } from "../../test/models.ts";
import { calibrate } from "../alignment/calibrate.ts";
import { readouts } from "../alignment/readouts.ts";
import type { Model } from "../model.ts";

const gpu = await testGpu();

let opened: Promise<Model> | undefined;
const tiny = (): Promise<Model> => {
  opened ??= loadTiny(gpu, { promptRows: 64, slots: 8 });
  return opened;
};

const TOKENS = randomIntegers(1, 130, 256);
const PART = TOKENS.subarray(0, 40);
const TOO_LATE = "a pass was read too late";

describe("the outputs of a pass", () => {
  it("are correct when they are read at once, even if other passes follow before they arrive", async () => {
    const { runner, config } = await tiny();
    const count = PART.length * config.vocabulary;
    runner.pool.clear(0, 2);
    const alone = await runner.pass(0, 0, PART, PART.length).readFloats("logits", 0, count);
    runner.pool.clear(0, 2);
    const read = runner.pass(0, 0, PART, PART.length).readFloats("logits", 0, count);
    runner.pass(1, 0, TOKENS.subarray(50, 90), 40);
    expect(firstDifference(await read, alone)).toBe(-1);
  });

  it("cannot be read after an await", async () => {
    const { runner, config } = await tiny();
    runner.pool.clear(0);
    const passes = [() => runner.pass(0, 0, PART, PART.length), () => runner.step(0, PART.length, 1)];
    for (const submit of passes) {
      const outputs = submit();
      expect(outputs.activations.layers).toBeGreaterThan(0);
      await undefined;
      expect(() => outputs.readFloats("logits", 0, config.vocabulary)).toThrow(TOO_LATE);
      expect(() => outputs.read("logprobs", 16)).toThrow(TOO_LATE);
      expect(() => outputs.activations).toThrow(TOO_LATE);
    }
  });

  it("cannot be read after another pass or run of steps in the same activations", async () => {
    const { runner } = await tiny();
    runner.pool.clear(0, 2);
    const pass = runner.pass(0, 0, PART, PART.length);
    const other = runner.pass(1, 0, PART, PART.length);
    expect(() => pass.readFloats("logits", 0, 1)).toThrow(TOO_LATE);
    expect(() => other.activations).not.toThrow();
    runner.feed(0, PART.length, [1, 2, 3]);
    expect(() => other.activations).toThrow(TOO_LATE);
    const step = runner.step(0, PART.length + 3, 1);
    const settings = { measure: false, sampling: SAMPLING };
    const { results } = runner.steps(1, PART.length, 1, settings);
    expect(() => step.activations).toThrow(TOO_LATE);
    await results;
  });
});

it("scores, losses, readouts and prompts that run at the same time give the same results as alone", async () => {
  const model = await tiny();
  const { runner } = model;
  const z = async (): Promise<number[]> => {
    const all: number[] = [];
    for await (const block of readouts(runner, TOKENS)) all.push(...block.z);
    return all;
  };
  const prompt = async (slot: number): Promise<number> => {
    runner.pool.clear(slot);
    const settings = { measure: false, sampling: SAMPLING };
    const [step] = await runner.prompt(slot, 0, Array.from(TOKENS), settings).results;
    return step!.token;
  };
  const slot = runner.pool.take();
  const work = [
    () => model.score(TOKENS, 2),
    () => model.evaluate(TOKENS, {}),
    () => model.evaluate(TOKENS, { window: 20 }),
    z,
    () => prompt(slot),
    () => model.score(TOKENS.subarray(7), 1),
  ];
  const alone: unknown[] = [];
  for (const one of work) alone.push(await one());
  expect(await Promise.all<unknown>(work.map((one) => one()))).toEqual(alone);
  runner.pool.give(slot);
  expect((await calibrate(model, TOKENS, { lambda: 1 })).alignment.tokens).toBe(117);
});

const SAMPLING = {
  temperature: 0,
  topK: 0,
  topP: 1,
  repetitionPenalty: 1,
  phaseTemperature: 0,
  seed: 0,
  choice: 0,
};
