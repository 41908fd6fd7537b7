import type { Dispatch } from "../kernels/kernel.ts";
import type { ProductWay } from "../kernels/linear/linear.ts";
import type { NativeConfig } from "./config.ts";
import type { Gpu } from "./device/gpu.ts";
import {
  decodeHead,
  decodeStep,
  prefillHead,
  prefillPass,
  prefillReadout,
  type Workspace,
} from "./forward.ts";
import type { Weights } from "./weights.ts";

/** The part of a model's configuration that the engine uses, for every family. */
export interface ModelConfig {
  /** `model_type`. */
  readonly family: string;
  /** Rows of the embedding. */
  readonly vocabulary: number;
  /** The maximum number of tokens in a stream; null: no limit. */
  readonly positions: number | null;
  readonly bosId: number | null;
  /** Tokens that end a text. */
  readonly eosIds: readonly number[];
  /** Whether ω of the drives was trained. */
  readonly adaptiveOmega: boolean;
  /** The base model under the adapters; null: a native model. */
  readonly base: BaseModel | null;
}

/** A base model with adapters. */
export interface BaseModel {
  readonly layers: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly inner: number;
  readonly placement: "embedding" | "layers";
  readonly attention: "on" | "bypass";
}

/** A model's passes as lists of dispatches over a workspace. */
export interface Passes {
  /** Decode: one token of each stream, from tokens to logits. The result does not depend on `way`, bit for bit. */
  decodeStep(on: Workspace, way: ProductWay): Dispatch[];
  /** Prefill: many tokens of each stream, from tokens to h. */
  prefillPass(on: Workspace): Dispatch[];
  /** Prefill up to the memory of the first resonant block, which is then in `a.memory`. */
  prefillReadout(on: Workspace): Dispatch[];
  /** From h to logits, row by row. */
  decodeHead(on: Workspace): Dispatch[];
  /** From h to logits, in tiles of rows. */
  prefillHead(on: Workspace): Dispatch[];
}

/** A model of any family, in the form that a runner uses. */
export interface Network {
  readonly config: ModelConfig;
  readonly weights: Weights;
  /** Inner size of the widest MLP. */
  readonly inner: number;
  /** Bytes of attention cache per token. */
  readonly cacheBytes: number;
  /** @param slots the maximum number of open streams */
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
      decodeStep: (on, way) =>
        way === "row" ? decodeStep(weights, on) : [...prefillPass(weights, on), ...prefillHead(weights, on)],
      prefillPass: (on) => prefillPass(weights, on),
      prefillReadout: (on) => prefillReadout(weights, on),
      decodeHead: (on) => decodeHead(weights, on),
      prefillHead: (on) => prefillHead(weights, on),
    }),
  };
}
