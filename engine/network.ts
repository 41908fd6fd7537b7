import type { Dispatch } from "../kernels/kernel.ts";
import type { NativeConfig } from "./config.ts";
import type { Gpu } from "./device/gpu.ts";
import { headPass, headStep, promptPass, tokenStep, type Workspace } from "./forward.ts";
import type { Weights } from "./weights.ts";

/** What the engine asks of a model's configuration, whatever its family. */
export interface ModelConfig {
  /** `model_type`. */
  readonly family: string;
  /** Rows of the embedding. */
  readonly vocabulary: number;
  /** Most tokens of a stream; null: no limit. */
  readonly positions: number | null;
  readonly bosId: number | null;
  /** Tokens that end a text. */
  readonly eosIds: readonly number[];
  /** Whether the drives' ω were trained. */
  readonly adaptiveOmega: boolean;
  /** What the adapters stand on; null: a native model. */
  readonly base: BaseModel | null;
}

/** A base model under adapters. */
export interface BaseModel {
  readonly layers: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly inner: number;
  readonly placement: "embedding" | "layers";
  readonly attention: "on" | "bypass";
}

/** What kernels are made for: a row at a time, or tiles of rows. */
export type Rows = "few" | "many";

/** A model's passes as lists of dispatches over a workspace. */
export interface Passes {
  /** One token of each stream: tokens to logits, by kernels for few rows or for many; the same bits by either. */
  tokenStep(on: Workspace, rows: Rows): Dispatch[];
  /** Many tokens of each stream: tokens to h. */
  promptPass(on: Workspace): Dispatch[];
  /** h to logits, for few rows. */
  headStep(on: Workspace): Dispatch[];
  /** h to logits, for many rows. */
  headPass(on: Workspace): Dispatch[];
}

/** A model of any family, as a runner runs it. */
export interface Network {
  readonly config: ModelConfig;
  readonly weights: Weights;
  /** Inner size of the widest MLP. */
  readonly inner: number;
  /** Bytes of attention cache that a token of a stream takes. */
  readonly cacheBytes: number;
  /** @param slots streams that may be open at once */
  passes(gpu: Gpu, slots: number): Passes;
}

/** A native resonant model (SPEC §2.1). */
export function nativeNetwork(config: NativeConfig, weights: Weights): Network {
  const { vocabulary, bosId, eosId } = config;
  return {
    config: {
      family: "resonant",
      vocabulary,
      positions: null,
      bosId,
      eosIds: eosId === null ? [] : [eosId],
      adaptiveOmega: false,
      base: null,
    },
    weights,
    inner: weights.shape.inner,
    cacheBytes: 0,
    passes: () => ({
      tokenStep: (on, rows) =>
        rows === "few" ? tokenStep(weights, on) : [...promptPass(weights, on), ...headPass(weights, on)],
      promptPass: (on) => promptPass(weights, on),
      headStep: (on) => headStep(weights, on),
      headPass: (on) => headPass(weights, on),
    }),
  };
}
