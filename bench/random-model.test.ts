import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { collect } from "../engine/generate.ts";
import { Model } from "../engine/model.ts";
import { openModelFolder } from "../engine/platform/node/files.ts";
import { testGpu } from "../test/gpu.ts";
import { runModel } from "./model-run.ts";
import { type Geometry, type GeometryName, geometries, writeRandomModel } from "./random-model.ts";

const gpu = await testGpu();
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "resonant-random-"));
});
afterAll(() => rm(folder, { recursive: true }));

/** The same geometry with fewer and smaller layers. */
function small(name: GeometryName): Geometry {
  const geometry = geometries[name];
  const sizes = { hidden_size: 64, num_hidden_layers: 3, num_attention_heads: 4, intermediate_size: 96 };
  return { ...geometry, config: { ...geometry.config, ...sizes, vocab_size: 300 } };
}

const names: GeometryName[] = ["pythia-160m", "pythia-1b", "tinyllama-1.1b"];

describe.each(names)("%s", (name) => {
  it("loads with and without adapters, and generates another text with them", async () => {
    const at = join(folder, name);
    const written = await writeRandomModel(at, small(name), { seed: 3, adapters: 2 });
    const texts: (readonly number[])[] = [];
    for (const adapters of [undefined, join(at, "adapters.safetensors")]) {
      const files = await openModelFolder(at, adapters);
      const model = await Model.load(gpu, files, { slots: 1 });
      await files.close();
      if (!adapters) expect(model.weights.parameters).toBe(written.parameters);
      expect(model.weights.blocks).toHaveLength(adapters ? 2 : 0);
      const { tokens } = await collect(model.generate("Once", { maxTokens: 12, temperature: 0 }));
      expect(tokens.length).toBeGreaterThan(0);
      texts.push(tokens);
    }
    expect(texts[0]).not.toEqual(texts[1]);
  });

  it("has the same bytes for the same seed, and others for another seed", async () => {
    const files = name === "tinyllama-1.1b" ? "model-00002-of-00002.safetensors" : "model.safetensors";
    const bytes = async (seed: number): Promise<Buffer> => {
      const at = join(folder, `${name}-${seed}`);
      await writeRandomModel(at, small(name), { seed });
      return readFile(join(at, files));
    };
    const first = await bytes(1);
    expect((await bytes(1)).equals(first)).toBe(true);
    expect((await bytes(2)).equals(first)).toBe(false);
    const index = stat(join(folder, `${name}-1`, "model.safetensors.index.json"));
    if (name === "tinyllama-1.1b") await index;
    else await expect(index).rejects.toThrow();
  });
});

it("has the sizes of the model it is named after", () => {
  const sizes = names
    .map((name) => geometries[name])
    .map(({ family, config }) => family.parse(config, "config.json"));
  expect(sizes.map(({ vocabulary, size, layers }) => [vocabulary, size, layers])).toEqual([
    [50304, 768, 12],
    [50304, 2048, 16],
    [32000, 2048, 22],
  ]);
});

it("is measured while it loads and runs", async () => {
  const at = join(folder, "measured");
  await writeRandomModel(at, small("pythia-160m"));
  const files = await openModelFolder(at);
  const request = { format: "f16", prompts: [8, 3], tokens: 4, rounds: 2, replay: true } as const;
  const figures = await runModel(gpu, files, request);
  await files.close();
  expect(figures.residentPeak).toBeGreaterThanOrEqual(figures.residentBefore);
  expect(figures.gpuBytes).toBeGreaterThan(0);
  expect(figures.gpuBytesAfter).toBe(figures.gpuBytes);
  for (const { low, median, high } of [...figures.prompts, figures.decode, figures.sampled]) {
    expect(low).toBeGreaterThan(0);
    expect(median).toBeGreaterThanOrEqual(low);
    expect(high).toBeGreaterThanOrEqual(median);
  }
  expect(figures.decoded).toHaveLength(1 + request.tokens);
});
