import { ResonantError } from "../../common/errors.ts";
import type { Logprobs } from "../../kernels/logprobs/logprobs.ts";
import type { StreamPlace } from "../../kernels/run.ts";
import type { Sampling } from "../../kernels/sample/sample.ts";

/** How a run chooses tokens, and what it reports of them. */
export interface RunSettings {
  readonly sampling: Sampling;
  /** Whether to report SPEC §4's measures. */
  readonly measure: boolean;
  /** How many of the most likely tokens to report beside each token's log-probability, 0 to 5; undefined: neither. */
  readonly logprobs?: number | undefined;
  /** λ of the readout's logit bias (SPEC §5). Default 0: none. */
  readonly readoutScale?: number | undefined;
  /** Whether to report the stream's recurrent state at each step. */
  readonly trace?: boolean | undefined;
  /**
   * Called, where `measure` is set, with the measures `[n, layers, 4]` of prompt tokens from a position on: of all but the
   * prompt's last token, whose measures are those of the first step.
   */
  readonly onPrompt?: ((position: number, measures: Float32Array) => void) | undefined;
}

/** A stream's part of a batched run. */
export interface BatchRow extends StreamPlace {
  readonly settings: RunSettings;
  /** Row of the snapshots that the stream is copied to before the run; undefined: it is not copied. */
  readonly snapshot?: number | undefined;
}

/** A generated token, and what its settings asked for. */
export interface DecodedStep {
  readonly token: number;
  /** `[layers, 4]` of R, lattice coherence, gate mean, mean |m|. */
  readonly measures: Float32Array | undefined;
  readonly logprobs?: Logprobs | undefined;
  /** The stream's recurrent state when its token was drawn, `[layers, rows, D]` as `stateShape` says. */
  readonly state?: Float32Array | undefined;
}

/** A stream's steps that have been submitted. */
export interface DecodeRun {
  /** Position of the first token fed. */
  readonly position: number;
  readonly steps: number;
  /** Resolves when the GPU is done; rejects with `model` where logits were not finite. */
  readonly results: Promise<DecodedStep[]>;
}

/** The error of a model whose logits are not all finite. */
export const notFinite = (): ResonantError =>
  new ResonantError("model", "the logits are not finite", {
    fix: "The weights, or a state that was imported, are damaged",
  });
