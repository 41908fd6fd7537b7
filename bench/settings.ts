import type { RunSettings } from "../engine/runner/decode-run.ts";
import type { Sampling } from "../kernels/sample/sample.ts";

/** Sampling as people use it. */
export const SAMPLING: Sampling = {
  temperature: 0.8,
  topK: 50,
  topP: 0.95,
  repetitionPenalty: 1,
  phaseTemperature: 0,
  seed: 1,
  choice: 0,
};

/** Plain sampling, nothing measured. */
export const SETTINGS: RunSettings = { measure: false, sampling: SAMPLING };

/** The most likely token, and how likely it and the next five are. */
export const GREEDY: RunSettings = { measure: false, sampling: { ...SAMPLING, temperature: 0 }, logprobs: 5 };

/** `length` tokens of a vocabulary, always the same. */
export const promptOf = (length: number, vocabulary: number): number[] =>
  Array.from({ length }, (_, i) => (i * 31 + 7) % vocabulary);
