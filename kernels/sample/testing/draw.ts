import { expect } from "vitest";
import type { Gpu } from "../../../engine/device/gpu.ts";
import { poisoned, runDispatches, uploadRun, uploadSchedule } from "../../../test/gpu.ts";
import { threefryReference } from "../reference.ts";
import { encodeSampling, NOT_FINITE, SAMPLING_BYTES, type Sampling, sample } from "../sample.ts";
import { sampleWorkspace } from "../sample-buffers.ts";

const slot = 1;
export const LAYERS = 2;

export const plain: Sampling = {
  temperature: 1,
  topK: 0,
  topP: 1,
  repetitionPenalty: 1,
  phaseTemperature: 0,
  seed: 1,
  choice: 0,
};

export interface Batch {
  readonly vocabulary: number;
  /** One row for all, or one a row. */
  readonly logits: Float32Array;
  readonly settings: readonly Sampling[];
  readonly counts?: Uint32Array;
  /** R of each row and block; NaN elsewhere. */
  readonly order?: Float32Array;
  /** One for all, or one a row. */
  readonly position?: number | readonly number[];
  readonly step?: number;
  /** Whether all rows are. */
  readonly greedy?: boolean;
  /** Whether many workgroups share a row, as on GPUs. */
  readonly shared?: boolean;
}

/** `row` once for each of `rows`. */
export function repeat<T extends Float32Array | Uint32Array>(row: Float32Array | Uint32Array, into: T): T {
  for (let at = 0; at < into.length; at += row.length) into.set(row.subarray(0, into.length - at), at);
  return into;
}

/** The tokens of one step. The tokens to be fed next must be the same, and no result of another step may be written. */
export async function drawTokens(gpu: Gpu, batch: Batch): Promise<Uint32Array> {
  const { vocabulary, settings, position = 0, step = 1 } = batch;
  const rows = settings.length;
  const shape = { rows, length: 1 };
  const sampling = new Uint8Array(rows * SAMPLING_BYTES);
  settings.forEach((setting, row) => {
    sampling.set(new Uint8Array(encodeSampling(setting)), row * SAMPLING_BYTES);
  });
  const counts = new Uint32Array((slot + rows) * vocabulary);
  repeat(batch.counts ?? new Uint32Array(vocabulary), counts);
  const metrics = new Float32Array((step + 1) * rows * LAYERS * 4).fill(Number.NaN);
  batch.order?.forEach((value, i) => {
    metrics[(step * rows * LAYERS + i) * 4] = value;
  });
  const tokens = poisoned(gpu, "tokens", rows + 16);
  const results = poisoned(gpu, "results", (step + 2) * rows);
  const workspace = sampleWorkspace(vocabulary, rows, (label, bytes) => poisoned(gpu, label, bytes / 4));
  const calls = sample(
    gpu,
    vocabulary,
    LAYERS,
    {
      run: uploadRun(
        gpu,
        shape,
        settings.map((_, row) => ({
          slot: slot + row,
          position: typeof position === "number" ? position : position[row]!,
        })),
      ),
      schedule: uploadSchedule(gpu, step),
      sampling: gpu.upload("sampling", sampling),
      logits: gpu.upload("logits", repeat(batch.logits, new Float32Array(rows * vocabulary))),
      counts: gpu.upload("counts", counts),
      metrics: gpu.upload("metrics", metrics),
      tokens,
      results,
      workspace: batch.shared ? workspace : undefined,
    },
    batch.greedy,
  );
  await runDispatches(gpu, calls, shape);
  const all = new Uint32Array(await gpu.read(results, 0, (step + 2) * rows * 4));
  const found = all.slice(step * rows, (step + 1) * rows);
  all.fill(0x7fc00000, step * rows, (step + 1) * rows);
  expect(all.every((word) => word === 0x7fc00000)).toBe(true);
  const fed = new Uint32Array(await gpu.read(tokens, 0, (rows + 16) * 4));
  found.forEach((token, row) => {
    if (fed[row] !== (token === NOT_FINITE ? 0 : token)) throw new Error(`row ${row} feeds ${fed[row]}`);
  });
  expect(fed.subarray(rows).every((word) => word === 0x7fc00000)).toBe(true);
  for (const buffer of [tokens, results, ...Object.values(workspace)]) buffer.destroy();
  return found;
}

export const seeds = (setting: Sampling, rows: number, first = 1): Sampling[] =>
  Array.from({ length: rows }, (_, row) => ({ ...setting, seed: first + row }));

/** The quantile that SPEC §4's generator draws for the token at `position`. */
export const quantileOf = ({ seed, choice }: Sampling, position: number): number =>
  threefryReference([seed % 2 ** 32, Math.floor(seed / 2 ** 32)], [position, choice])[0] / 2 ** 32;
