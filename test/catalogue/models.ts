import { parseConfig } from "../../engine/config.ts";
import type { Family } from "../../engine/families/family.ts";
import { gptNeox } from "../../engine/families/gpt-neox.ts";
import { llama } from "../../engine/families/llama.ts";
import { decoderTensors } from "../../engine/families/load-decoder.ts";
import type { LoadOptions, ModelFiles } from "../../engine/model.ts";
import { defaultModelFolder, openModelFolder } from "../../engine/platform/node/files.ts";
import { nativeTensors } from "../../engine/weights.ts";
import { byteTokenizer, fixturePath, goldenModelFiles, memoryTensors, tinyConfig } from "../models.ts";

export interface CatalogueModel {
  open(): Promise<ModelFiles & { close?(): Promise<void> }>;
  readonly options?: LoadOptions;
  /** Which devices it is tried on. Default: a GPU, and software with lanes that share loads. */
  readonly on?: "all devices" | "a GPU";
}

const ZEROS = new Float32Array(2 ** 24);

const zeros = (_: string, shape: readonly number[]): Float32Array<ArrayBuffer> =>
  ZEROS.subarray(
    0,
    shape.reduce((product, dim) => product * dim, 1),
  );

/** A model of a base family, all zeros. */
const base = (family: Family, config: Readonly<Record<string, unknown>>): CatalogueModel => ({
  open: async () => ({
    name: "zeros",
    config,
    tensors: memoryTensors(decoderTensors(family, family.parse(config, "zeros")), zeros),
    ...byteTokenizer(),
  }),
});

/** A native model, all zeros. */
const native = (config: Readonly<Record<string, unknown>>): CatalogueModel => ({
  open: async () => ({
    name: "zeros",
    config,
    tensors: memoryTensors(nativeTensors(parseConfig(config, "zeros")), zeros),
    ...byteTokenizer(),
  }),
});

const fixture = (name: string, adapters?: string, options: LoadOptions = {}): CatalogueModel => ({
  open: async () => ({
    ...(await openModelFolder(
      fixturePath(`base-models/${name}`),
      adapters && fixturePath(`checkpoints/${adapters}`),
    )),
    ...byteTokenizer(),
  }),
  options,
});

const adapters = "adapters_d32_zip.pt";

/** One layer of TinyLlama-1.1B, with few tokens. */
const tinyLlama = {
  model_type: "llama",
  vocab_size: 300,
  hidden_size: 2048,
  intermediate_size: 5632,
  num_hidden_layers: 1,
  num_attention_heads: 32,
  num_key_value_heads: 4,
  max_position_embeddings: 2048,
  rms_norm_eps: 1e-5,
  rope_theta: 10000,
  hidden_act: "silu",
  tie_word_embeddings: false,
};

/** One layer of Pythia-160m, with few tokens. */
const pythia = {
  model_type: "gpt_neox",
  vocab_size: 300,
  hidden_size: 768,
  intermediate_size: 3072,
  num_hidden_layers: 1,
  num_attention_heads: 12,
  max_position_embeddings: 2048,
  rotary_pct: 0.25,
  hidden_act: "gelu",
  tie_word_embeddings: false,
};

/** Pythia's vocabulary, in a small model. */
const manyTokens = {
  ...pythia,
  vocab_size: 50304,
  hidden_size: 32,
  intermediate_size: 64,
  num_attention_heads: 4,
};

/** Heads whose keys cannot be read four at a time. */
const oddHeads = { ...pythia, hidden_size: 30, intermediate_size: 50, num_attention_heads: 5 };

/** Models of every family, of usual and of odd sizes. */
export const catalogueModels: Readonly<Record<string, CatalogueModel>> = {
  "the default model": { open: async () => openModelFolder(await defaultModelFolder()), on: "all devices" },
  "TinyLlama's layer": { ...base(llama, tinyLlama), on: "a GPU" },
  "Pythia-160m's layer": { ...base(gptNeox, pythia), on: "a GPU" },
  "Pythia's tokens": { ...base(gptNeox, manyTokens), on: "a GPU" },
  "a native model": { open: () => goldenModelFiles("native_long") },
  "another grid": { open: () => goldenModelFiles("native_grid2x4") },
  "no convolution": { open: () => goldenModelFiles("native_noconv_odd_vocab") },
  "768 columns": {
    ...native({ ...tinyConfig, hidden_size: 768, intermediate_size: 3072, conv_kernel: 4 }),
    on: "a GPU",
  },
  "adapters on GPT-NeoX": fixture("neox-parallel", adapters, { placement: "embedding" }),
  "adapters after layers": fixture("llama-gqa-tied", adapters, { placement: "layers" }),
  "attention bypassed": fixture("neox-parallel", adapters, { attention: "bypass" }),
  "ReLU and no biases": fixture("neox-relu-no-bias"),
  "sequential residuals": fixture("neox-sequential"),
  "odd rotary size": fixture("neox-odd-rotary"),
  "heads of odd size": base(gptNeox, oddHeads),
  "Llama with biases": fixture("llama-biases"),
  "Llama with heads of their own size": fixture("llama-head-dim"),
};
