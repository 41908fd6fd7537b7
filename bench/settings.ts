import type { RunSettings } from "../engine/runner/decode-run.ts";
import type { Sampling } from "../kernels/sample/sample.ts";

/** Typical sampling settings. */
export const SAMPLING: Sampling = {
  temperature: 0.8,
  topK: 50,
  topP: 0.95,
  repetitionPenalty: 1,
  phaseTemperature: 0,
  seed: 1,
  choice: 0,
};

/** Decodes with typical sampling and without metrics. */
export const SETTINGS: RunSettings = { measure: false, sampling: SAMPLING };

/** Decodes the most likely token, with the log probabilities of the five most likely ones. */
export const GREEDY: RunSettings = { measure: false, sampling: { ...SAMPLING, temperature: 0 }, logprobs: 5 };

/** Returns `length` tokens of a vocabulary, always the same ones. */
export const promptOf = (length: number, vocabulary: number): number[] =>
  Array.from({ length }, (_, i) => (i * 31 + 7) % vocabulary);
