import { expect, it, vi } from "vitest";
import type * as kernel from "../kernels/kernel.ts";
import { randomIntegers, testGpu } from "../test/gpu.ts";
import { loadTiny } from "../test/models.ts";
import { calibrate } from "./alignment/calibrate.ts";
import { readouts } from "./alignment/readouts.ts";
import { loadBase } from "./alignment/testing/base-model.ts";
import type { Model } from "./model.ts";

const labels = vi.hoisted(() => ({ change: (label: string): string => label, seen: new Set<string>() }));

vi.mock("../kernels/kernel.ts", async (original) => {
  const actual = await original<typeof kernel>();
  const dispatch: typeof kernel.dispatch = (host, { name, code }, ...rest) => {
    const made = actual.dispatch(host, new actual.Kernel(labels.change(name), code), ...rest);
    labels.seen.add(made.label);
    return made;
  };
  return { ...actual, dispatch };
});

const gpu = await testGpu();

/** Everything that is made of a model's passes, a calibration's file included. */
async function numbersOf(load: () => Promise<Model>) {
  labels.seen.clear();
  const model = await load();
  const tokens = randomIntegers(1, 140, 100);
  const z: number[] = [];
  for await (const block of readouts(model.runner, tokens)) z.push(...block.z);
  const calibration = await calibrate(model, tokens, { lambda: 1 });
  model.align(calibration.alignment);
  const steps: unknown[] = [];
  const options = { maxTokens: 6, temperature: 0, logprobs: 2, trace: true, readoutScale: 0.5 };
  const prompt = Array.from(tokens.subarray(0, 70));
  const stream = model.open();
  const settings = { ...options, runAhead: 2, measure: true, sampling: SAMPLING };
  for await (const step of model.scheduler.decode(stream, prompt, settings)) steps.push(step);
  stream.close();
  return {
    labels: [...labels.seen],
    numbers: {
      z,
      calibration,
      steps,
      score: await model.score(tokens, 2),
      loss: await model.evaluate(tokens, { window: 32, readoutScale: 0.5 }),
    },
  };
}

const SAMPLING = {
  temperature: 0,
  topK: 0,
  topP: 1,
  repetitionPenalty: 1,
  phaseTemperature: 0,
  seed: 0,
  choice: 0,
};

it.each<[string, () => Promise<Model>]>([
  ["a native model", () => loadTiny(gpu, { promptRows: 64, slots: 2 })],
  ["adapters on a base model's embeddings", () => loadBase({ placement: "embedding" })],
  ["adapters after a base model's layers", () => loadBase({ placement: "layers" })],
])("%s computes the same whatever its kernels' labels say", async (_, load) => {
  labels.change = (label) => label;
  const named = await numbersOf(load);
  expect(named.labels.length).toBeGreaterThan(5);
  expect(named.numbers.z.some((value) => value !== 0)).toBe(true);
  labels.change = () => "renamed";
  const renamed = await numbersOf(load);
  expect(renamed.labels).toEqual(["renamed"]);
  expect(renamed.numbers).toEqual(named.numbers);
});
