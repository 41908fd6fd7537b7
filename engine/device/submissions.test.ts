import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { randomFloats, randomIntegers } from "../../test/gpu.ts";
import { byteTokenizer, fixturePath, loadTiny } from "../../test/models.ts";
import { readouts } from "../alignment/readouts.ts";
import { TokenRanking } from "../alignment/token-ranking.ts";
import { Model } from "../model.ts";
import { requestAdapter } from "../platform/node/device.ts";
import { openModelFolder } from "../platform/node/files.ts";
import { retrieve } from "../retrieval/retrieval.ts";
import { Gpu } from "./gpu.ts";
import { submissionWork } from "./work.ts";

/** Just above the largest dispatch over a chunk of the scan, which is attention's: a submission holds few dispatches. */
const LITTLE = 4e6;
const TOKENS = randomIntegers(3, 290, 120);
const PROMPT = "the oscillators agree. ".repeat(10);
const CONTEXT = PROMPT.repeat(20);
const NEEDLE = `${PROMPT.slice(5, 150)} at last`;

async function loadBase(gpu: Gpu): Promise<Model> {
  const files = await openModelFolder(
    fixturePath("base-models/neox-parallel"),
    fixturePath("checkpoints/adapters_d32_zip.pt"),
  );
  try {
    return await Model.load(gpu, { ...files, ...byteTokenizer(), name: "base" }, { slots: 4 });
  } finally {
    await files.close();
  }
}

/** A model, and the work of attention over all positions for one token. */
const kinds: readonly [string, (gpu: Gpu) => Promise<Model>, number][] = [
  ["a native model", (gpu) => loadTiny(gpu, { slots: 4 }), 0],
  ["a base model with attention and adapters", loadBase, 3 * 4 * 32 * 400],
];

/** What `act` gives, and the work of each submission that it makes, without those that only copy. */
async function measured<T>(gpu: Gpu, act: () => Promise<T>): Promise<[T, number[]]> {
  const all: number[] = [];
  let work = 0;
  const { record } = gpu;
  vi.spyOn(gpu, "record").mockImplementation((encoder, list, run) => {
    for (const dispatch of list) {
      const [x, y] = dispatch.grid(run);
      if (x * y > 0) work += dispatch.work(run);
    }
    record.call(gpu, encoder, list, run);
  });
  const { queue } = gpu.device;
  const { submit } = queue;
  vi.spyOn(queue, "submit").mockImplementation((commands) => {
    if (work > 0) all.push(work);
    work = 0;
    return submit.call(queue, commands);
  });
  try {
    return [await act(), all];
  } finally {
    vi.restoreAllMocks();
  }
}

afterEach(() => vi.restoreAllMocks());

async function write(model: Model, seed: number, trace = false): Promise<unknown> {
  const options = { seed, temperature: 1.3, maxTokens: 40, metrics: true, logprobs: 3, trace };
  const written: unknown[] = [];
  for await (const piece of model.generate(PROMPT.slice(seed), options)) written.push(piece);
  return written;
}

async function readAll(model: Model): Promise<unknown> {
  const blocks: number[] = [];
  for await (const { z } of readouts(model.runner, TOKENS)) blocks.push(...z);
  return blocks;
}

async function rank({ gpu, weights }: Model): Promise<unknown> {
  const ranking = new TokenRanking(gpu, weights);
  const ranked = await ranking.rank(randomFloats(5, 500 * weights.shape.size));
  ranking.destroy();
  return ranked;
}

async function search(model: Model): Promise<unknown> {
  const options = { mode: "hybrid", topK: 3, profile: 50 } as const;
  const found = await retrieve(model, { context: CONTEXT, needle: NEEDLE, ...options });
  return { ...found, workingBytes: undefined };
}

const native: readonly [string, (model: Model) => Promise<unknown>][] = [
  ["readouts", readAll],
  ["a search", search],
];

describe.each(kinds)("the submissions of %s", (_, load, attention) => {
  /** With all of a piece of work in one submission, and with little. */
  let whole: Model;
  let parts: Model;

  beforeAll(async () => {
    const open = async (work: number): Promise<Model> => {
      const gpu = await Gpu.open(await requestAdapter());
      gpu.submissionWork = work;
      return load(gpu);
    };
    whole = await open(Number.POSITIVE_INFINITY);
    parts = await open(LITTLE);
  });

  afterAll(() => {
    for (const model of [whole, parts]) model?.gpu.destroy();
  });

  it.each<[string, (model: Model) => Promise<unknown>]>([
    ["a text after a prompt", (model) => write(model, 1)],
    ["a traced text", (model) => write(model, 2, true)],
    ["texts that share steps", (model) => Promise.all([3, 4, 5, 6].map((seed) => write(model, seed)))],
    ["scores", (model) => model.score(TOKENS, 3)],
    ["the loss of a stream", (model) => model.evaluate(TOKENS, {})],
    ["the loss of windows", (model) => model.evaluate(TOKENS, { window: 20 })],
    ["ranks of tokens", rank],
    // The base model has one memory, after its embedding: its readouts and searches are little work.
    ...(attention === 0 ? native : []),
  ])("of %s hold no more work than they may, and change no bit", async (_, act) => {
    const [expected, before] = await measured(whole.gpu, () => act(whole));
    const [found, cut] = await measured(parts.gpu, () => act(parts));
    expect(found).toEqual(expected);
    expect(Math.max(...before)).toBeGreaterThan(LITTLE);
    expect(Math.max(...cut)).toBeLessThanOrEqual(LITTLE);
    expect(cut.length).toBeGreaterThan(before.length);
  });

  it("count all weights", async () => {
    const { runner, weights, gpu } = whole;
    const slot = runner.pool.take();
    const products = 2 * (weights.parameters - weights.embed.rows * weights.embed.columns);
    const pass = async () => void runner.pass(slot, 0, TOKENS.subarray(0, 64), 64);
    const [, [prompt = 0, ...none]] = await measured(gpu, pass);
    expect(none).toEqual([]);
    expect(prompt / (64 * (products + attention))).toBeCloseTo(1, 1);
    // A step waits for its weights.
    const [, [step = 0]] = await measured(gpu, async () => void runner.step(slot, 64, 3));
    expect(step / (16 * products + attention)).toBeCloseTo(1, 1);
    runner.pool.give(slot);
  });
});

it("a software adapter, which nobody watches, is given everything at once", () => {
  expect(submissionWork("software")).toBe(Number.POSITIVE_INFINITY);
  expect(submissionWork("gpu")).toBeLessThan(submissionWork("nvidia"));
});
