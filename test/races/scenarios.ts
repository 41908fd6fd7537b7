import { calibrate } from "../../engine/alignment/calibrate.ts";
import { parseConfig } from "../../engine/config.ts";
import type { Gpu } from "../../engine/device/gpu.ts";
import { retrievalDiagnostics } from "../../engine/diagnostics/retrieval-diagnostics.ts";
import { gptNeox } from "../../engine/families/gpt-neox.ts";
import { decoderTensors } from "../../engine/families/load-decoder.ts";
import { collect, type Finish, type GenerateOptions } from "../../engine/generate.ts";
import { type LoadOptions, Model } from "../../engine/model.ts";
import { openModelFolder } from "../../engine/platform/node/files.ts";
import { retrieve } from "../../engine/retrieval/retrieval.ts";
import { nativeTensors } from "../../engine/weights.ts";
import { matrixBytes, type WeightFormat } from "../../kernels/matrix.ts";
import { PACK_ERROR_BYTES, packError, packWeight } from "../../kernels/pack-weight/pack-weight.ts";
import type { TensorFile } from "../../weights/tensor-file.ts";
import { mulberry32, randomFloats } from "../gpu.ts";
import { byteTokenizer, fixturePath, memoryTensors } from "../models.ts";

/** A native model whose sizes are no multiples of a workgroup or a slice, but larger. */
const config = {
  model_type: "resonant",
  hidden_size: 88,
  num_layers: 2,
  vocab_size: 261,
  intermediate_size: 70,
  conv_kernel: 3,
  phase: { alpha: 0.3, omega: [6, 6.1], phi: [0, 0.1] },
  pvm: { omega: [6.5, 6.6], phi: [0.2, 0.3] },
  plm: { grid: [2, 2] },
  bos_token_id: null,
  eos_token_id: null,
} as const;

function loadNative(gpu: Gpu, options: LoadOptions, vocabulary: number = config.vocab_size): Promise<Model> {
  const sized = { ...config, vocab_size: vocabulary };
  const tensors = random(nativeTensors(parseConfig(sized, "races")));
  return Model.load(gpu, { name: "races", config: sized, tensors, ...byteTokenizer() }, options);
}

async function loadBase(gpu: Gpu, name: string, adapters?: string, options?: LoadOptions): Promise<Model> {
  const path = adapters && fixturePath(`checkpoints/${adapters}`);
  const files = await openModelFolder(fixturePath(`base-models/${name}`), path);
  try {
    return await Model.load(gpu, { ...files, ...byteTokenizer() }, { ...SMALL, ...options });
  } finally {
    await files.close();
  }
}

/** A base model whose keys cannot be read four values at a time, and of which a workgroup takes many. */
function loadOdd(gpu: Gpu, options: LoadOptions): Promise<Model> {
  const odd = {
    model_type: "gpt_neox",
    vocab_size: 150,
    hidden_size: 42,
    intermediate_size: 50,
    num_hidden_layers: 1,
    num_attention_heads: 6,
    max_position_embeddings: 2100, // so many that a workgroup takes several chunks of keys
    rotary_pct: 0.3,
    hidden_act: "gelu",
    tie_word_embeddings: false,
  };
  const tensors = random(decoderTensors(gptNeox, gptNeox.parse(odd, "races")));
  return Model.load(gpu, { name: "races", config: odd, tensors, ...byteTokenizer() }, options);
}

function random(shapes: ReadonlyMap<string, readonly number[]>): TensorFile {
  let seed = 0;
  return memoryTensors(shapes, (_, shape) =>
    randomFloats(
      ++seed,
      shape.reduce((product, dim) => product * dim, 1),
      -0.5,
      0.5,
    ),
  );
}

const SMALL: LoadOptions = { slots: 20, promptRows: 128, steps: 4, prefixBytes: 2 ** 17 };

/** Of so many tokens that most are biased by another invocation than the one that copies their logits. */
const BIASES = Object.fromEntries(Array.from({ length: 90 }, (_, i) => [10 + i, i / 10]));

/** Sampling in every way: the rows of one pass. */
const samplings: readonly GenerateOptions[] = [
  { temperature: 0 },
  { temperature: 1.5, topK: 0, topP: 1 },
  { temperature: 1.5, topK: 12, topP: 1, phaseTemperature: 0.5 },
  { temperature: 1.5, topK: 0, topP: 0.8, repetitionPenalty: 1.3 },
  { temperature: 1.5, topK: 40, topP: 0.7, presencePenalty: 0.5, logitBias: BIASES },
];

/** Text of `count` characters. */
function prose(count: number): string {
  const next = mulberry32(5);
  return Array.from({ length: count }, () => String.fromCharCode(32 + Math.floor(next() * 60))).join("");
}

/** Draws tokens with a model in as many streams, with all measures. */
async function decode(model: Model, streams: number, options: GenerateOptions = {}): Promise<void> {
  const each = { maxTokens: 5, metrics: true, logprobs: 3, ...options };
  await Promise.all(
    Array.from({ length: streams }, (_, seed) =>
      collect(model.generate(prose(9 + seed), { ...each, ...samplings[seed % samplings.length], seed })),
    ),
  );
}

/**
 * Makes a device dispatch every kernel it has for weights in `formats`: what all kinds of models and commands do, on small
 * models.
 */
export async function everything(gpu: Gpu, formats: readonly WeightFormat[]): Promise<void> {
  for (const format of formats) {
    const native = await loadNative(gpu, { ...SMALL, format, onPacked: () => undefined });
    for (const streams of [1, 5, 19]) await decode(native, streams);
    await native.evaluate(await native.encode(prose(61)), { window: 20 });
    await native.score(await native.encode(prose(150)), 2);
    const { alignment } = await calibrate(native, await native.encode(prose(150)), { lambda: 1 });
    native.align(alignment);
    await decode(native, 2, { readoutScale: 2 });
    await retrieve(native, { context: prose(300), needle: prose(40), mode: "hybrid", topK: 2 });
    const tokens = await native.encode(prose(100));
    await retrievalDiagnostics(native, { tokens, cue: [], position: 10, mode: "pvm", memoryBytes: 0 });

    for (const attention of ["on", "bypass"] as const) {
      await decode(await loadBase(gpu, "llama-gqa-tied", undefined, { format, attention }), 5);
    }
    // How weights are laid out makes no difference to the rest.
    if (gpu.weightLayout === "rows") {
      const neox = await loadBase(gpu, "neox-parallel", "adapters_d32_zip.pt", { format });
      await Promise.all([280, 9].map((length) => decodeAfter(neox, prose(length))));
      const odd = await loadOdd(gpu, { ...SMALL, slots: 5, format });
      await decodeAfter(odd, prose(150)); // first: of dispatches of one size the first is kept
      await decode(odd, 5);
    }
    await gpu.settle();
  }
  if (gpu.kind !== "software") await decode(await loadNative(gpu, SMALL, LARGE_VOCABULARY), 5);
  packingError(gpu);
  await gpu.settle();
}

/** Makes a device dispatch the kernels of a native model's decode steps. */
export async function steps(gpu: Gpu, formats: readonly WeightFormat[]): Promise<void> {
  for (const format of formats) await decode(await loadNative(gpu, { ...SMALL, format }), 2);
  await gpu.settle();
}

/** So many that a GPU shares a row of logits between workgroups. */
const LARGE_VOCABULARY = 2111;

/** Packing in f32 has no error, so the engine does not ask for it. */
function packingError(gpu: Gpu): void {
  const [rows, columns, layout] = [70, 50, gpu.weightLayout];
  const matrix = gpu.upload("matrix", randomFloats(1, rows * columns));
  const buffer = gpu.storage("weight", matrixBytes(rows, columns, "f32", layout));
  const packing = { matrix, rows, weight: { buffer, rows, columns, format: "f32", layout } } as const;
  const sums = gpu.storage("sums", PACK_ERROR_BYTES);
  const dispatches = [...packWeight(gpu, packing), ...packError(gpu, packing, sums)];
  gpu.submit((encoder) => gpu.record(encoder, dispatches, { rows, length: rows }));
}

const decodeAfter = (model: Model, prompt: string): Promise<Finish> =>
  collect(model.generate(prompt, { maxTokens: 4, seed: 1 }));
