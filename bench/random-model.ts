import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Family } from "../engine/families/family.ts";
import { gptNeox } from "../engine/families/gpt-neox.ts";
import { llama } from "../engine/families/llama.ts";
import { decoderTensors } from "../engine/families/load-decoder.ts";
import { elementCount, float32ToFloat16 } from "../weights/dtype.ts";
import { writeFileAtomically } from "../weights/node/file.ts";
import { type TensorToWrite, writeSafetensors } from "../weights/safetensors.ts";

/** The sizes of a base model, as given in its `config.json`. */
export interface Geometry {
  readonly family: Family;
  readonly config: Readonly<Record<string, unknown>>;
  /** Number of files that hold the tensors. */
  readonly shards: number;
}

const pythia = (size: number, layers: number, heads: number): Geometry => ({
  family: gptNeox,
  config: {
    architectures: ["GPTNeoXForCausalLM"],
    bos_token_id: 0,
    eos_token_id: 0,
    hidden_act: "gelu",
    hidden_size: size,
    initializer_range: 0.02,
    intermediate_size: 4 * size,
    layer_norm_eps: 1e-5,
    max_position_embeddings: 2048,
    model_type: "gpt_neox",
    num_attention_heads: heads,
    num_hidden_layers: layers,
    rotary_emb_base: 10000,
    rotary_pct: 0.25,
    tie_word_embeddings: false,
    torch_dtype: "float16",
    use_cache: true,
    use_parallel_residual: true,
    vocab_size: 50304,
  },
  shards: 1,
});

const tinyLlama = {
  family: llama,
  config: {
    architectures: ["LlamaForCausalLM"],
    attention_bias: false,
    bos_token_id: 1,
    eos_token_id: 2,
    hidden_act: "silu",
    hidden_size: 2048,
    initializer_range: 0.02,
    intermediate_size: 5632,
    max_position_embeddings: 2048,
    model_type: "llama",
    num_attention_heads: 32,
    num_hidden_layers: 22,
    num_key_value_heads: 4,
    pretraining_tp: 1,
    rms_norm_eps: 1e-5,
    rope_scaling: null,
    rope_theta: 10000,
    tie_word_embeddings: false,
    torch_dtype: "float16",
    use_cache: true,
    vocab_size: 32000,
  },
  shards: 2,
} as const satisfies Geometry;

/** Small sizes of the same families, for trying out what measures the large ones. */
export const tinyGeometries = {
  "tiny-neox": {
    ...pythia(64, 2, 2),
    config: { ...pythia(64, 2, 2).config, vocab_size: 320 },
  },
  "tiny-llama": {
    ...tinyLlama,
    config: {
      ...tinyLlama.config,
      hidden_size: 64,
      intermediate_size: 176,
      num_attention_heads: 4,
      num_hidden_layers: 2,
      num_key_value_heads: 2,
      vocab_size: 320,
    },
  },
} as const satisfies Record<string, Geometry>;

/** Geometries of well-known models, and tiny ones, by name. */
export const geometries = {
  "pythia-160m": pythia(768, 12, 12),
  "pythia-1b": pythia(2048, 16, 8),
  "tinyllama-1.1b": tinyLlama,
  ...tinyGeometries,
} as const satisfies Record<string, Geometry>;

export type GeometryName = keyof typeof geometries;

export interface RandomModelOptions {
  /** Default 1. The same seed gives the same bytes. */
  readonly seed?: number;
  /** Number of adapters to write into `adapters.safetensors`, beside the model. Default 0. */
  readonly adapters?: number;
}

/** Describes the written files: the base model's parameters, and the bytes of all weights. */
export interface RandomModel {
  readonly parameters: number;
  readonly bytes: number;
}

/** Standard deviation of the weights: large enough to matter, small enough that the logits of a deep model are finite. */
const DEVIATION = 0.02;

/**
 * Writes a folder that loads as a model with this geometry: `config.json`, float16 weights, and a byte tokenizer, which has
 * fewer ids than the embedding has rows. Keeps one tensor at a time in memory.
 * @throws ResonantError `invalid_argument` if the folder cannot be written
 */
export async function writeRandomModel(
  folder: string,
  { family, config, shards }: Geometry,
  { seed = 1, adapters = 0 }: RandomModelOptions = {},
): Promise<RandomModel> {
  const random = new NormalDeviates(seed);
  const parsed = family.parse(config, "config.json");
  const shapes = [...decoderTensors(family, parsed)];
  const tensors = shapes.map(([name, shape]) => half(name, shape, () => modelValues(random, name, shape)));
  await mkdir(folder, { recursive: true });
  let bytes = await writeShards(folder, tensors, shards);
  if (adapters > 0) {
    bytes += await writeFileAtomically(
      join(folder, "adapters.safetensors"),
      writeSafetensors(
        Array.from({ length: adapters }, (_, i) => adapterTensors(random, i, parsed.size)).flat(),
        { model_config: JSON.stringify(ADAPTER_CONFIG) },
      ),
    );
  }
  const json = (name: string, value: unknown): Promise<void> =>
    writeFile(join(folder, name), `${JSON.stringify(value, undefined, 2)}\n`);
  await json("tokenizer.json", byteTokenizer());
  await json("tokenizer_config.json", {
    tokenizer_class: "PreTrainedTokenizerFast",
    eos_token: END_OF_TEXT,
    clean_up_tokenization_spaces: false,
  });
  await json("config.json", config); // written last: a folder that has it is complete
  return { parameters: shapes.reduce((sum, [, shape]) => sum + count(shape), 0), bytes };
}

const count = (shape: readonly number[]): number => elementCount(shape) ?? 0;

const bytesOf = (values: Float32Array | Uint16Array): Uint8Array =>
  new Uint8Array(values.buffer, values.byteOffset, values.byteLength);

function half(name: string, shape: readonly number[], values: () => Uint16Array): TensorToWrite {
  return { name, dtype: "F16", shape, bytes: async () => bytesOf(values()) };
}

/** Writes `model.safetensors`, or several files of similar size and their index. Returns the bytes of the weights. */
async function writeShards(
  folder: string,
  tensors: readonly TensorToWrite[],
  shards: number,
): Promise<number> {
  const total = tensors.reduce((sum, { shape }) => sum + 2 * count(shape), 0);
  const parts: TensorToWrite[][] = Array.from({ length: shards }, () => []);
  let at = 0;
  for (const tensor of tensors) {
    parts[Math.floor((at * shards) / total)]?.push(tensor);
    at += 2 * count(tensor.shape);
  }
  const five = (i: number): string => String(i).padStart(5, "0");
  const nameOf = (i: number): string =>
    shards === 1 ? "model.safetensors" : `model-${five(i + 1)}-of-${five(shards)}.safetensors`;
  let bytes = 0;
  for (const [i, part] of parts.entries()) {
    bytes += await writeFileAtomically(join(folder, nameOf(i)), writeSafetensors(part, { format: "pt" }));
  }
  if (shards > 1) {
    const map = parts.flatMap((part, i) => part.map(({ name }) => [name, nameOf(i)]));
    const index = { metadata: { total_size: total }, weight_map: Object.fromEntries(map) };
    await writeFile(join(folder, "model.safetensors.index.json"), JSON.stringify(index));
  }
  return bytes;
}

function modelValues(random: NormalDeviates, name: string, shape: readonly number[]): Uint16Array {
  if (/norm\.weight$/.test(name)) return new Uint16Array(count(shape)).fill(0x3c00); // 1
  return random.halves(count(shape));
}

/** The training settings that a reference checkpoint records; the other settings have their defaults. */
const ADAPTER_CONFIG = {
  adapter_placement: "embedding",
  omega: 6,
  phi: 0,
  pvm_alpha: 0.12,
  pvm_beta: 0.88,
  stillness_warm: 0,
  block_ramp: 300,
};

/** Returns an adapter that looks trained, with the tensor names of a reference checkpoint. */
function adapterTensors(random: NormalDeviates, index: number, size: number): TensorToWrite[] {
  const make = (name: string, shape: readonly number[], values: () => Float32Array): TensorToWrite => ({
    name: `afrb_adapters.${index}.${name}`,
    dtype: "F32",
    shape,
    bytes: async () => bytesOf(values()),
  });
  const scalar = (name: string, value: number) => make(name, [], () => Float32Array.of(value));
  const normal = (name: string, ...shape: number[]) =>
    make(name, shape, () => random.normals(count(shape), DEVIATION));
  const ones = (name: string) => make(name, [size], () => new Float32Array(size).fill(1));
  return [
    scalar("alpha", 0.1),
    scalar("phi_base", 0.1 * index),
    scalar("gamma_raw", -2),
    scalar("global_step", 1000),
    scalar("pvm.gate", -1),
    scalar("pvm.input_scale", 1),
    scalar("phase_embed.omega_const", 6),
    ones("norm1.weight"),
    normal("norm1.bias", size),
    ones("norm2.weight"),
    normal("norm2.bias", size),
    normal("mixer.0.weight", 2 * size, size),
    normal("mixer.0.bias", 2 * size),
    normal("phase_embed.proj.weight", size, 2),
    normal("phase_embed.proj.bias", size),
  ];
}

/** Generates normal deviates that depend only on the seed. Picks them from a table, because a model needs billions. */
class NormalDeviates {
  readonly #table: Float32Array;
  readonly #halves: Uint16Array;
  #state: number;

  constructor(seed: number) {
    this.#state = (Math.imul(seed, 0x9e3779b1) ^ 0x6d2b79f5) >>> 0 || 1;
    const uniform = (): number => (this.#next() + 0.5) / 2 ** 32;
    // Box and Muller 1958.
    this.#table = Float32Array.from({ length: TABLE }, () => {
      return Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
    });
    this.#halves = float32ToFloat16(this.#table.map((value) => value * DEVIATION));
  }

  /** Returns `length` deviates with standard deviation {@link DEVIATION}, as float16. */
  halves(length: number): Uint16Array {
    const out = new Uint16Array(length);
    for (let i = 0; i < length; i++) out[i] = this.#halves[this.#next() >>> (32 - TABLE_BITS)] ?? 0;
    return out;
  }

  normals(length: number, deviation: number): Float32Array {
    const out = new Float32Array(length);
    for (let i = 0; i < length; i++) {
      out[i] = (this.#table[this.#next() >>> (32 - TABLE_BITS)] ?? 0) * deviation;
    }
    return out;
  }

  /** Returns 32 random bits: xorshift (Marsaglia 2003). */
  #next(): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x >>> 0;
    return this.#state;
  }
}

const TABLE_BITS = 12;
const TABLE = 2 ** TABLE_BITS;

const END_OF_TEXT = "<|endoftext|>";

/** Returns a byte-level BPE without merges, as in `tokenizer.json`: one id per byte, and one that ends a text. */
function byteTokenizer(): unknown {
  const printable = (byte: number): boolean =>
    (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
  // GPT-2's letters for bytes: printable bytes stand for themselves, the others are U+0100 and up.
  let next = 256;
  const letters = Array.from({ length: 256 }, (_, byte) =>
    String.fromCharCode(printable(byte) ? byte : next++),
  );
  const special = (id: number, content: string) => ({
    id,
    content,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: true,
  });
  const byteLevel = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true };
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: [END_OF_TEXT, "<|pad|>", "<|reserved_0|>", "<|reserved_1|>"].map((content, i) =>
      special(256 + i, content),
    ),
    normalizer: null,
    pre_tokenizer: byteLevel,
    post_processor: null,
    decoder: byteLevel,
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: Object.fromEntries(letters.map((letter, byte) => [letter, byte])),
      merges: [],
    },
  };
}
