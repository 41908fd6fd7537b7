import { readFileSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type NativeConfig, parseConfig } from "../engine/config.ts";
import type { Gpu } from "../engine/device/gpu.ts";
import { collect, type Finish, type GenerateOptions } from "../engine/generate.ts";
import { goldenConfig } from "../engine/goldens.ts";
import { type LoadOptions, Model, type ModelFiles } from "../engine/model.ts";
import { defaultModelFolder, openModelFolder } from "../engine/platform/node/files.ts";
import { nativeTensors } from "../engine/weights.ts";
import { bytesSource } from "../weights/byte-source.ts";
import { startThread } from "../weights/node/threads.ts";
import { openTensorFile } from "../weights/open.ts";
import { type TensorToWrite, writeSafetensors } from "../weights/safetensors.ts";
import type { TensorFile, TensorInfo } from "../weights/tensor-file.ts";
import { randomFloats } from "./gpu.ts";

/** Returns the path of `name` in `test/fixtures`. */
export const fixturePath = (name: string): string =>
  fileURLToPath(new URL(`./fixtures/${name}`, import.meta.url));

export const openFixture = (name: string): Promise<TensorFile> =>
  openTensorFile(bytesSource(name, new Uint8Array(readFileSync(fixturePath(name)))), startThread);

/** Opens a golden file by its name without `.safetensors`. */
export const openGolden = (name: string): Promise<TensorFile> => openFixture(`goldens/${name}.safetensors`);

export const readJson = (name: string): unknown => JSON.parse(readFileSync(fixturePath(name), "utf8"));

/** A tokenizer whose ids below 256 are bytes, of size 260. */
export const byteTokenizer = (): Pick<ModelFiles, "tokenizer" | "tokenizerConfig" | "startThread"> => ({
  startThread,
  tokenizer: readJson("tokenizers/bytes/tokenizer.json"),
  tokenizerConfig: readJson("tokenizers/bytes/tokenizer_config.json"),
});

/** The model that ships with the package. */
export async function loadDefault(gpu: Gpu, options?: LoadOptions): Promise<Model> {
  const files = await openModelFolder(await defaultModelFolder());
  try {
    return await Model.load(gpu, { ...files, name: "shakespeare" }, options);
  } finally {
    await files.close();
  }
}

/** Returns a golden native model as the files of a model; the id of a byte is the byte itself. */
export async function goldenModelFiles(
  name: string,
  config: Readonly<Record<string, unknown>> = {},
): Promise<ModelFiles> {
  const file = await openGolden(name);
  const prefix = "weights.";
  const local = [...file.tensors.values()].filter((tensor) => tensor.name.startsWith(prefix));
  const tensors = new Map(
    local.map((tensor): [string, TensorInfo] => {
      const short = tensor.name.slice(prefix.length);
      return [short, { ...tensor, name: short }];
    }),
  );
  return {
    name,
    config: { ...goldenConfig(file), ...config },
    tensors: {
      ...file,
      tensors,
      bytes: (short, from, to) => file.bytes(prefix + short, from, to),
      float32: (short) => file.float32(prefix + short),
    },
    ...byteTokenizer(),
  };
}

/** Creates a small native model with random weights and 300 tokens, whose output depends on its memories. */
export const loadTiny = async (
  gpu: Gpu,
  options?: LoadOptions,
  config?: Readonly<Record<string, unknown>>,
): Promise<Model> => Model.load(gpu, await goldenModelFiles("native_long", config), options);

export const tinyConfig = {
  model_type: "resonant",
  hidden_size: 64,
  num_layers: 1,
  vocab_size: 260,
  intermediate_size: 4,
  conv_kernel: 2,
  phase: { alpha: 0.1, omega: [6], phi: [0] },
  pvm: { omega: [6], phi: [0] },
  plm: { grid: [2, 2] },
  bos_token_id: null,
  eos_token_id: null,
} as const;

/** Wraps tensors in memory as a tensor file. */
export function memoryTensors(
  shapes: ReadonlyMap<string, readonly number[]>,
  values: (name: string, shape: readonly number[]) => Float32Array<ArrayBuffer>,
): TensorFile {
  const tensors = new Map(
    [...shapes].map(([name, shape]): [string, TensorInfo] => [name, { name, dtype: "F32", shape }]),
  );
  const float32 = async (name: string): Promise<Float32Array<ArrayBuffer>> =>
    values(name, shapes.get(name) ?? []);
  return {
    name: "memory",
    format: "safetensors",
    metadata: {},
    tensors,
    float32,
    bytes: async (name, from, to) => new Uint8Array((await float32(name)).buffer).slice(from, to),
  };
}

/**
 * Creates a model that repeats `script`: after each byte it predicts the next one almost certainly, and after the last the
 * first. No byte may occur twice. The memories are computed but do not affect the output.
 */
export function scriptedModelFiles(
  script: ArrayLike<number>,
  config: Readonly<Record<string, unknown>> = {},
): ModelFiles {
  const tokens = Array.from(script);
  if (new Set(tokens).size !== tokens.length) throw new Error("a script must not contain a token twice");
  const full = { ...tinyConfig, ...config };
  const parsed: NativeConfig = parseConfig(full, "script");
  const { vocabulary } = parsed;
  const d = parsed.shape.size;
  const embed = randomFloats(1, vocabulary * d);
  const head = new Float32Array(vocabulary * d);
  tokens.forEach((token, i) => {
    const next = tokens[(i + 1) % tokens.length]!;
    head.set(embed.subarray(token * d, (token + 1) * d), next * d);
  });
  const tensors = memoryTensors(nativeTensors(parsed), (name, shape) => {
    const size = shape.reduce((product, dim) => product * dim, 1);
    if (name === "embed.weight") return embed.slice();
    if (name === "head.weight") return head.slice();
    if (name === "norm.weight" || /norm1\.weight|pvm\.alpha/.test(name))
      return new Float32Array(size).fill(1);
    if (/norm2|mlp\.down/.test(name)) return new Float32Array(size);
    return randomFloats(name.length, size, -0.5, 0.5);
  });
  return { name: "script", config: full, tensors, ...byteTokenizer() };
}

export async function collectBytes(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const chunk of chunks) parts.push(chunk);
  return Buffer.concat(parts);
}

/** Writes a golden native model of 300 tokens as a folder that the command line can load. */
export async function writeModel(
  folder: string,
  change: (tensors: Map<string, TensorToWrite>) => void = () => undefined,
): Promise<void> {
  const { config, tensors: file, tokenizer, tokenizerConfig } = await goldenModelFiles("native_long");
  const tensors = new Map(
    [...file.tensors].map(([name, { dtype, shape }]): [string, TensorToWrite] => [
      name,
      { name, dtype, shape, bytes: () => file.bytes(name) },
    ]),
  );
  change(tensors);
  await mkdir(folder, { recursive: true });
  await writeFile(
    join(folder, "model.safetensors"),
    await collectBytes(writeSafetensors([...tensors.values()])),
  );
  await writeFile(join(folder, "config.json"), JSON.stringify(config));
  await writeFile(join(folder, "tokenizer.json"), JSON.stringify(tokenizer));
  await writeFile(join(folder, "tokenizer_config.json"), JSON.stringify(tokenizerConfig));
}

/** Generates on a new stream; returns the result and the final state. */
export async function generated(
  model: Model,
  prompt: string | readonly number[],
  options: GenerateOptions,
): Promise<Finish & { text: string; saved: Uint8Array }> {
  const stream = model.open();
  try {
    const finish = await collect(model.generate(prompt, { ...options, stream }));
    return { ...finish, saved: await model.save(stream) };
  } finally {
    stream.close();
  }
}
