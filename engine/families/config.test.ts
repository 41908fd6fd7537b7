import { describe, expect, it } from "vitest";
import { testGpu } from "../../test/gpu.ts";
import { memoryTensors, readJson } from "../../test/models.ts";
import { Fingerprint } from "../fingerprint.ts";
import { gptNeox } from "./gpt-neox.ts";
import { loadNetwork } from "./index.ts";
import { llama } from "./llama.ts";
import { decoderTensors } from "./load-decoder.ts";
import { readRope, ropeTable } from "./rope.ts";

const read = (name: string) => readJson(`base-models/${name}/config.json`) as Record<string, unknown>;
const neox = read("neox-parallel");
const small = read("llama-gqa-tied");

describe("a decoder's configuration", () => {
  it.each([
    [
      gptNeox,
      { ...neox, num_attention_heads: 5 },
      "invalid_file",
      /config: num_attention_heads: 5 heads do not divide/,
    ],
    [gptNeox, { ...neox, hidden_size: "32" }, "invalid_file", /config: hidden_size: .*number/i],
    [gptNeox, { ...neox, num_hidden_layers: 0 }, "invalid_file", /config: num_hidden_layers/],
    [
      gptNeox,
      { ...neox, hidden_act: "quick_gelu" },
      "unsupported",
      /config: hidden_act: the activation "quick_gelu"/,
    ],
    [gptNeox, { ...neox, vocab_size: undefined }, "invalid_file", /config: vocab_size/],
    [
      llama,
      { ...small, num_key_value_heads: 3 },
      "invalid_file",
      /config: num_key_value_heads: 3 do not divide/,
    ],
    [llama, { ...small, hidden_act: "gelu" }, "invalid_file", /config: hidden_act/],
    [llama, { ...small, rms_norm_eps: -1 }, "invalid_file", /config: rms_norm_eps/],
    [
      llama,
      { ...small, rope_parameters: { rope_type: "linear" } },
      "invalid_file",
      /rope_scaling\.factor: linear scaling needs it/,
    ],
    [
      llama,
      { ...small, rope_parameters: { rope_type: "longrope" } },
      "unsupported",
      /rope_scaling: rope scaling "longrope"/,
    ],
  ] as const)("names what is wrong: %#", (family, config, code, message) => {
    expect(() => family.parse(config, "config")).toThrowError(
      expect.objectContaining({ code, message: expect.stringMatching(message) }),
    );
  });

  it("may name several tokens that end a text", () => {
    expect(llama.parse({ ...small, eos_token_id: [2, 7] }, "config").eosIds).toEqual([2, 7]);
    expect(llama.parse({ ...small, eos_token_id: null }, "config").eosIds).toEqual([]);
  });
});

describe("a decoder's tensors", async () => {
  const gpu = await testGpu();
  const load = (change: (shapes: Map<string, readonly number[]>) => void) => {
    const shapes = new Map(decoderTensors(gptNeox, gptNeox.parse(neox, "config")));
    change(shapes);
    const tensors = memoryTensors(
      shapes,
      (_, shape) => new Float32Array(shape.reduce((size, dim) => size * dim, 1)),
    );
    return loadNetwork(gpu, { name: "x", config: neox, tensors }, "f32", {}, new Fingerprint());
  };
  const layer = "gpt_neox.layers.1.attention.dense.weight";

  it.each([
    [
      "of a wrong shape",
      (shapes: Map<string, readonly number[]>) => shapes.set(layer, [32, 31]),
      /dense\.weight: the shape is \[32, 31\], not \[32, 32\]/,
    ],
    [
      "that is missing",
      (shapes: Map<string, readonly number[]>) => shapes.delete(layer),
      /dense\.weight: the tensor is missing/,
    ],
    [
      "that is unknown",
      (shapes: Map<string, readonly number[]>) => shapes.set("gpt_neox.extra", [1]),
      /gpt_neox\.extra/,
    ],
  ] as const)("one %s is an error that names it", async (_, change, message) => {
    await expect(load(change)).rejects.toMatchObject({
      code: "invalid_file",
      message: expect.stringMatching(message),
    });
  });

  it("buffers of older checkpoints are left alone", async () => {
    const { network } = await load((shapes) => {
      shapes.set("gpt_neox.layers.0.attention.bias", [1, 1, 400, 400]);
      shapes.set("gpt_neox.layers.0.attention.rotary_emb.inv_freq", [1]);
    });
    expect(network.config.base?.layers).toBe(3);
  });

  it("heads that the kernels cannot hold are refused", async () => {
    const tensors = memoryTensors(new Map(), () => new Float32Array());
    const load = (config: object) =>
      loadNetwork(gpu, { name: "x", config, tensors }, "f32", {}, new Fingerprint());
    await expect(load({ ...small, head_dim: 257 })).rejects.toThrow(
      "attention heads of size 257; the largest supported size is 256",
    );
    await expect(load({ ...small, head_dim: 5 })).rejects.toThrow(
      "attention heads of size 5 cannot be rotated in pairs",
    );
  });

  it("an architecture this engine does not know is refused by name", async () => {
    const tensors = memoryTensors(new Map(), () => new Float32Array());
    const files = { name: "x", config: { model_type: "mamba" }, tensors };
    await expect(loadNetwork(gpu, files, "f32", {}, new Fingerprint())).rejects.toMatchObject({
      code: "unsupported",
      message: expect.stringContaining('model_type "mamba"'),
    });
  });
});

describe("rotary embedding", () => {
  it("turns a pair by its frequency a position, with the attention factor as length", () => {
    const rope = readRope({}, { headSize: 8, theta: 100, partial: 0.5, positions: 16 }, "config");
    expect(Array.from(rope.frequencies)).toEqual([1, Math.fround(0.1)]);
    const table = ropeTable({ ...rope, scale: 2 }, 3);
    expect(table).toHaveLength(12);
    expect(table[8]).toBeCloseTo(2 * Math.cos(2), 6);
    expect(table[11]).toBeCloseTo(2 * Math.sin(0.2), 6);
  });
});
