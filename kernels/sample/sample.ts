import { type Dispatch, dispatch, Kernel, type KernelHost } from "../kernel.ts";
import order from "../lib/order.wgsl";
import publish from "../lib/publish.wgsl";
import reduce from "../lib/reduce.wgsl";
import run from "../lib/run.wgsl";
import sampling from "../lib/sampling.wgsl";
import sealed from "../lib/sealed.wgsl";
import temperature from "../lib/temperature.wgsl";
import threefry from "../lib/threefry.wgsl";
import source from "./sample.wgsl";
import type { SampleBuffers } from "./sample-buffers.ts";
import { sampleInParts } from "./sample-in-parts.ts";

const kernel = new Kernel(
  "sample",
  run,
  reduce,
  order,
  threefry,
  sealed,
  sampling,
  temperature,
  publish,
  source,
);

/** How the next token is chosen. */
export interface Sampling {
  /** 0, or so little that {@link isGreedy} says so, is argmax. */
  readonly temperature: number;
  /** 0 is off. */
  readonly topK: number;
  /** Only the smallest set of tokens whose probabilities reach this sum is kept; 1 is off. */
  readonly topP: number;
  /** Divides the positive logits of tokens that have been fed, and multiplies the negative ones; 1 is off. */
  readonly repetitionPenalty: number;
  /** λ: the temperature is scaled by 1 + λ(1 − R); 0 is off. */
  readonly phaseTemperature: number;
  /** A whole number from 0 to 2⁵³ − 1. */
  readonly seed: number;
  /** Only tokens at least this share as likely as the likeliest are kept; 0 or undefined: all. */
  readonly minP?: number | undefined;
  /** The number of this continuation among several of one prompt. */
  readonly choice: number;
}

/** The result of a row whose logits, temperature or probabilities are not all finite. */
export const NOT_FINITE = 0xffffffff;

/** Bytes of one row's settings. */
export const SAMPLING_BYTES = 40;

/** The least normal f32: below it, the inverse of a temperature overflows. */
const LEAST_NORMAL = 2 ** -126;

/** Whether a temperature takes the most likely token alone: below 2⁻¹²⁶, once it is rounded to f32 as kernels get it. */
export const isGreedy = (temperature: number): boolean => Math.fround(temperature) < LEAST_NORMAL;

/** One row's `Sampling` of `lib/sampling.wgsl`. */
export function encodeSampling(s: Sampling): ArrayBuffer {
  const view = new DataView(new ArrayBuffer(SAMPLING_BYTES));
  const greedy = isGreedy(s.temperature);
  view.setFloat32(0, greedy ? 0 : s.temperature, true);
  view.setFloat32(4, greedy ? 1 : s.topP, true);
  view.setFloat32(8, s.repetitionPenalty, true);
  view.setFloat32(12, greedy ? 0 : s.phaseTemperature, true);
  view.setUint32(16, greedy ? 0 : s.topK, true);
  view.setUint32(20, s.choice, true);
  view.setUint32(24, s.seed % 2 ** 32, true);
  view.setUint32(28, Math.floor(s.seed / 2 ** 32), true);
  view.setFloat32(32, !greedy && s.minP ? Math.log(s.minP) : 1, true);
  return view.buffer;
}

/**
 * Draws each row's next token (SPEC §4). The random number is Threefry-2x32 with the seed as key and (absolute position,
 * choice) as counter, so that it does not depend on the rest of the batch.
 * @param greedy whether all rows are (see {@link isGreedy}), for which less need be computed
 */
export function sample(
  host: KernelHost,
  vocabulary: number,
  layers: number,
  buffers: SampleBuffers,
  greedy = false,
): readonly Dispatch[] {
  const { run, schedule, sampling, logits, counts, metrics, tokens, results, workspace } = buffers;
  if (workspace) return sampleInParts(host, vocabulary, layers, { ...buffers, workspace }, greedy);
  return [
    dispatch(
      host,
      kernel,
      { VOCAB: vocabulary, LAYERS: layers },
      [run, schedule, sampling, logits, counts, metrics, tokens, results],
      ({ rows }) => [rows, 1],
    ),
  ];
}
