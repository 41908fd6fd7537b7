import { ResonantError } from "../common/errors.ts";
import type { WeightFormat } from "../kernels/matrix.ts";
import type { TensorFile } from "../weights/tensor-file.ts";
import { loadAdapter } from "./adapter.ts";
import { parseConfig } from "./config.ts";
import type { Gpu } from "./device/gpu.ts";
import { decodeBlock, prefillBlock, type Workspace } from "./forward.ts";
import { nativeNetwork } from "./network.ts";
import { Activations } from "./runner/activations.ts";
import { Runner } from "./runner/runner.ts";
import { StatePool, stateShape } from "./state/state-pool.ts";
import { type Tensors, tensorsUnder } from "./tensors.ts";
import { type Blocks, loadWeights } from "./weights.ts";

/** The relative errors of the kernels against a golden file, ‖out − ref‖ / ‖ref‖. */
export interface GoldenResult {
  /** All tokens in one parallel pass. */
  readonly pass: number;
  /** Token by token. */
  readonly step: number;
}

/** ‖actual − expected‖ / ‖expected‖; NaN if either has a NaN, ‖actual‖ if all expected values are 0. */
export function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) {
    throw new Error(`${actual.length} numbers where ${expected.length} are expected`);
  }
  let difference = 0;
  let norm = 0;
  for (let i = 0; i < expected.length; i++) {
    difference += (actual[i]! - expected[i]!) ** 2;
    norm += expected[i]! ** 2;
  }
  return Math.sqrt(norm === 0 ? difference : difference / norm);
}

/**
 * Runs a golden file through the kernels, as one pass and token by token.
 * @param change applied to the weights when they are read, to prove that the check can fail
 * @throws ResonantError `unsupported` for a file that must be refused
 */
export async function checkGolden(
  gpu: Gpu,
  file: TensorFile,
  kind: "afrb" | "native",
  change: (tensors: Tensors) => Tensors = (tensors) => tensors,
): Promise<GoldenResult> {
  return kind === "afrb" ? checkBlock(gpu, file, change) : checkNative(gpu, file, change);
}

/** Returns the `config` of a golden file, which is JSON in its metadata. */
export function goldenConfig(file: TensorFile): Record<string, unknown> {
  const text = file.metadata.config;
  try {
    const config: unknown = JSON.parse(String(text));
    if (typeof config === "object" && config !== null) return config as Record<string, unknown>;
  } catch {
    // falls through to the same error as a config that is no object
  }
  throw new ResonantError("invalid_file", "the metadata holds no config", { where: file.name });
}

async function checkBlock(
  gpu: Gpu,
  file: TensorFile,
  change: (tensors: Tensors) => Tensors,
): Promise<GoldenResult> {
  const config = goldenConfig(file);
  const index = typeof config.block_idx === "number" ? config.block_idx : 1;
  const blocks = await loadAdapter(gpu, change(tensorsUnder(file, "state.")), config, index);
  const input = await file.float32("input");
  const expected = await file.float32("output");
  return {
    pass: relativeError(await runBlock(gpu, blocks, input, "pass"), expected),
    step: relativeError(await runBlock(gpu, blocks, input, "step"), expected),
  };
}

/** Runs `input [T, D]` through blocks, from an empty state at position 0. */
export async function runBlock(
  gpu: Gpu,
  blocks: Blocks,
  input: Float32Array,
  how: "pass" | "step",
): Promise<Float32Array> {
  const d = blocks.shape.size;
  const tokens = input.length / d;
  const rows = how === "pass" ? tokens : 1;
  const layers = blocks.blocks.length;
  const shape = stateShape(blocks.shape, layers);
  const pool = new StatePool(gpu, shape, 1, 1);
  const a = new Activations(gpu, blocks.shape, layers, { rows, steps: 1, vocabulary: 1, logitRows: 1 });
  const on: Workspace = { host: gpu, a, shape, state: pool.state, counts: pool.counts, measure: false };
  const list = blocks.blocks.flatMap((b) => (how === "pass" ? prefillBlock : decodeBlock)(blocks, b, on));
  const out = gpu.storage("golden output", input.byteLength);
  const rowBytes = 4 * d * rows;
  for (let t = 0; t < tokens; t += rows) {
    const run = a.prepare(blocks.blocks, [{ slot: 0, position: t }], rows, 1, 0);
    gpu.device.queue.writeBuffer(a.h, 0, input.slice(t * d, (t + rows) * d));
    gpu.submit((encoder) => {
      gpu.record(encoder, list, run);
      encoder.copyBufferToBuffer(a.h, 0, out, (t / rows) * rowBytes, rowBytes);
    });
  }
  return gpu.readFloats(out, 0, input.length);
}

/** Loads a golden native model. */
export async function loadGolden(
  gpu: Gpu,
  file: TensorFile,
  format: WeightFormat,
  change: (tensors: Tensors) => Tensors = (tensors) => tensors,
): Promise<{ runner: Runner; ids: number[]; start: number }> {
  const config = parseConfig(goldenConfig(file), file.name);
  const weights = await loadWeights(gpu, config, change(tensorsUnder(file, "weights.")), format);
  const ids = Array.from(await file.float32("input_ids"));
  return {
    runner: new Runner(gpu, nativeNetwork(config, weights), { slots: 2, promptRows: ids.length }),
    ids,
    start: Number(file.metadata.start_position ?? 0),
  };
}

async function checkNative(
  gpu: Gpu,
  file: TensorFile,
  change: (tensors: Tensors) => Tensors,
): Promise<GoldenResult> {
  const { runner, ids, start } = await loadGolden(gpu, file, "f32", change);
  const expected = await file.float32("logits");
  const vocabulary = expected.length / ids.length;
  const pass = runner.pass(0, start, ids, ids.length);
  const passed = await pass.readFloats("logits", 0, expected.length);
  const stepped = new Float32Array(expected.length);
  for (const [t, id] of ids.entries()) {
    const logits = await runner.step(1, start + t, id).readFloats("logits", 0, vocabulary);
    stepped.set(logits, t * vocabulary);
  }
  return { pass: relativeError(passed, expected), step: relativeError(stepped, expected) };
}
