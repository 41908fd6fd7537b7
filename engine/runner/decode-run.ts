import { ResonantError } from "../../common/errors.ts";
import type { Logprobs } from "../../kernels/logprobs/logprobs.ts";
import type { StreamPlace } from "../../kernels/run.ts";
import type { Sampling } from "../../kernels/sample/sample.ts";

/** What one text changes in its logits before a token is drawn (SPEC §4.1); the same object for all of the text's runs. */
export interface TextAdjustment {
  /** Is taken from the logit of each token that the text has. */
  readonly presencePenalty: number;
  /** Is taken from a token's logit once for each time that the text has it. */
  readonly frequencyPenalty: number;
  /** Is added to logits, by token. */
  readonly logitBias: ReadonlyMap<number, number>;
}

/** How a run samples tokens, and what it reports. */
export interface RunSettings {
  readonly sampling: Sampling;
  readonly adjustment?: TextAdjustment | undefined;
  /** Whether to report the measures of SPEC §4. */
  readonly measure: boolean;
  /** Report the log-probability of each token and this many most likely tokens, 0 to 20. Undefined: neither. */
  readonly logprobs?: number | undefined;
  /** λ of the readout's logit bias (SPEC §5). Default 0: none. */
  readonly readoutScale?: number | undefined;
  /** Whether to report the stream's recurrent state at each step. */
  readonly trace?: boolean | undefined;
  /**
   * If `measure` is set, called with the measures `[n, layers, 4]` of the `n` prompt tokens from `position` on. The last
   * token of the prompt is not included: its measures are those of the first step.
   */
  readonly onPrompt?: ((position: number, measures: Float32Array) => void) | undefined;
}

/** One stream in a batched run. */
export interface BatchRow extends StreamPlace {
  readonly settings: RunSettings;
  /** The snapshot row to which the stream is copied before the run; undefined: it is not copied. */
  readonly snapshot?: number | undefined;
}

/** A generated token, with the measures, log-probabilities and state that `RunSettings` asks for. */
export interface DecodedStep {
  readonly token: number;
  /** `[layers, 4]`: R, lattice coherence, gate mean, mean |m| (SPEC §4). */
  readonly measures: Float32Array | undefined;
  readonly logprobs?: Logprobs | undefined;
  /** The recurrent state of the stream when the token was drawn, `[layers, rows, D]` (see `stateShape`). */
  readonly state?: Float32Array | undefined;
}

/** The submitted steps of one stream. */
export interface DecodeRun {
  /** Position of the first token fed. */
  readonly position: number;
  readonly steps: number;
  /** Resolves when the GPU is done. Rejects with a `model` error if the logits or probabilities are not finite. */
  readonly results: Promise<DecodedStep[]>;
}

/** Creates the error for logits, or probabilities of the next token, that are not all finite. */
export const notFinite = (): ResonantError =>
  new ResonantError("model", "the logits, or the probabilities of the next token, are not finite", {
    fix: "The weights, or a state that was imported, are damaged",
  });
