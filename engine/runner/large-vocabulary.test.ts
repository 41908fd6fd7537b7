import { afterAll, beforeAll, expect, it } from "vitest";
import { randomFloats } from "../../test/gpu.ts";
import { byteTokenizer, memoryTensors, tinyConfig } from "../../test/models.ts";
import { parseConfig } from "../config.ts";
import { Gpu } from "../device/gpu.ts";
import { collect, type GenerateOptions } from "../generate.ts";
import { Model, type ModelFiles } from "../model.ts";
import { requestAdapter } from "../platform/node/device.ts";
import { nativeTensors } from "../weights.ts";

// So many tokens that on a GPU many workgroups share a row of logits, and not a multiple of anything.
const config = { ...tinyConfig, vocab_size: 2111 };

function files(): ModelFiles {
  const parsed = parseConfig(config, "large");
  const tensors = memoryTensors(nativeTensors(parsed), (name, shape) => {
    const size = shape.reduce((product, dim) => product * dim, 1);
    if (/norm\d?\.weight|pvm\.alpha/.test(name)) return new Float32Array(size).fill(1);
    return randomFloats(name.length, size, -0.5, 0.5);
  });
  return { name: "large", config, tensors, ...byteTokenizer() };
}

/** As this adapter is used, which on software has a workgroup a row, and as a GPU is. */
let models: readonly [own: Model, gpu: Model];

beforeAll(async () => {
  const open = async (tuning?: Gpu["tuning"]): Promise<Model> => {
    const gpu = await Gpu.open(await requestAdapter(), undefined, tuning);
    return Model.load(gpu, files(), { slots: 4 });
  };
  models = [await open(), await open({ sharedLoadLanes: 0, rowsPerWorkgroup: 16, tiledDecodeFrom: 8 })];
});

afterAll(() => {
  for (const { gpu } of models ?? []) gpu.destroy();
});

/** What a model writes, without what differs each time. */
async function write(model: Model, options: GenerateOptions) {
  const { tokens, logprobs, phase } = await collect(
    model.generate("the oscillators agree", { seed: 5, maxTokens: 10, ...options }),
  );
  return { tokens, logprobs, phase };
}

it.each<[string, GenerateOptions]>([
  ["greedy", { temperature: 0 }],
  ["greedy, with log-probabilities", { temperature: 1e-46, logprobs: 5 }],
  ["sampled by default", {}],
  ["of all tokens, with log-probabilities", { temperature: 2, topK: 0, topP: 1, logprobs: 3 }],
  ["with phase temperature and penalty", { phaseTemperature: 3, repetitionPenalty: 1.4, metrics: true }],
])("a text %s is the same to the bit with a workgroup a row and with many", async (_, options) => {
  const [own, gpu] = models;
  expect(await write(gpu, options)).toEqual(await write(own, options));
});

it("a greedy stream and others that share its steps write what they write alone", async () => {
  const [own, gpu] = models;
  const all = [{ temperature: 0 }, { temperature: 1.5, seed: 3 }, { temperature: 2, topK: 0, logprobs: 2 }];
  const together = await Promise.all(all.map((options) => write(gpu, options)));
  for (const [i, options] of all.entries()) expect(together[i]).toEqual(await write(own, options));
});

it("a token takes three dispatches more where many workgroups share a row", () => {
  // By this tuning an adapter without shared lanes has as many for the rest.
  const [own, gpu] = models;
  expect(gpu.runner.dispatchesPerToken - own.runner.dispatchesPerToken).toBe(3);
  expect(gpu.runner.memory.steps).toBeGreaterThan(own.runner.memory.steps);
});
