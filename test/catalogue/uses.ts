import { calibrate } from "../../engine/alignment/calibrate.ts";
import type { Gpu } from "../../engine/device/gpu.ts";
import { retrievalDiagnostics } from "../../engine/diagnostics/retrieval-diagnostics.ts";
import { collect, type GenerateOptions } from "../../engine/generate.ts";
import type { Model } from "../../engine/model.ts";
import { retrieve } from "../../engine/retrieval/retrieval.ts";
import { retrievalModes } from "../../engine/retrieval/retrieval-model.ts";
import { PACK_ERROR_BYTES, packError } from "../../kernels/pack-weight/pack-weight.ts";

const PROMPT = "Speak, that I may see thee. ".repeat(6);

/** Streams of the batches that decode together: by rows, in tiles of 16, of 32. */
const BATCHES = [1, 2, 9, 20];

/** Does with a model what can be done with it, each kind of work once. It needs 20 slots. */
export async function useModel(model: Model): Promise<void> {
  const { vocabulary } = model.config;
  const tokens = Uint32Array.from({ length: 150 }, (_, i) => (i * 7) % Math.min(100, vocabulary));
  const text = (options: GenerateOptions) =>
    collect(model.generate([...tokens], { maxTokens: 3, ...options }));
  for (const count of BATCHES) {
    await Promise.all(
      Array.from({ length: count }, (_, choice) =>
        collect(model.generate([...tokens.subarray(0, 20)], { maxTokens: 4, seed: 1, choice })),
      ),
    );
  }
  await text({ temperature: 0, metrics: true, trace: true, logprobs: 5 });
  await text({ topK: 3, topP: 0.5, repetitionPenalty: 1.3, phaseTemperature: 1 });
  await text({ presencePenalty: 1, minP: 0.1 });
  await model.score(tokens, 5);
  await model.evaluate(tokens, {});
  await model.evaluate(tokens, { window: 16 });
  const { pvm } = model.weights.shape;
  for (const mode of vocabulary > 127 ? retrievalModes(model.weights) : []) {
    await retrieve(model, { context: PROMPT, needle: "I may see", mode, topK: 2, profile: 4 });
    await retrievalDiagnostics(model, { tokens, cue: [1, 2, 3], position: 5, mode, memoryBytes: 0 });
  }
  if (pvm) {
    model.align((await calibrate(model, tokens, { lambda: 1 })).alignment);
    await text({ readoutScale: 1 });
    await model.evaluate(tokens, { readoutScale: 1 });
  }
  if (!("family" in model.config)) {
    const stream = model.open();
    await collect(model.generate([1, 2, 3], { stream, maxTokens: 2 }));
    const saved = await model.save(stream);
    stream.close();
    (await model.restore(saved)).close();
  }
}

/** What is asked for only where a format is measured against the weights as they were read. */
export function usePacking(gpu: Gpu): void {
  const [matrix, sums] = [gpu.storage("matrix", 256), gpu.storage("sums", PACK_ERROR_BYTES)];
  const weight = { buffer: gpu.storage("weight", 2 ** 14), rows: 1, columns: 32, format: "f32" } as const;
  for (const layout of ["rows", "interleaved"] as const)
    packError(gpu, { matrix, rows: 1, weight: { ...weight, layout } }, sums);
}
