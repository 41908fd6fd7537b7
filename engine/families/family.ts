import type { Dispatch } from "../../kernels/kernel.ts";
import type { Norm } from "../../kernels/layer-norm/layer-norm.ts";
import type { Epilogue } from "../../kernels/linear/linear.ts";
import type { Matrix } from "../../kernels/matrix.ts";
import type { DecoderConfig } from "./decoder-config.ts";

/** A matrix, and a bias where there is one. */
export interface Linear {
  readonly weight: Matrix;
  readonly bias?: GPUBuffer;
}

/** One layer of a decoder. `H` heads and `KV` heads of keys and values, `hd` floats each; `M` = `inner`. */
export interface LayerWeights {
  readonly index: number;
  readonly norm1: Norm;
  readonly norm2: Norm;
  /** `[(H + 2 KV) · hd, D]`: heads of q, of k, of v. */
  readonly qkv: Linear;
  /** `[D, H · hd]`. */
  readonly out: Linear;
  /** `[M, D]`, or gate and up `[2M, D]`, a unit's two side by side. */
  readonly up: Linear;
  /** `[D, M]`. */
  readonly down: Linear;
}

/** What products read and write: h `[rows, D]`, or the MLP's `[rows, M]`. */
export type LayerBuffer = "h" | "inner";

/** A layer's operations, for decode or prefill; a family says which, in order. */
export interface LayerOps {
  /** From h through the first norm to what attention's heads say, or that norm alone where attention is bypassed. */
  attend(w: LayerWeights): Dispatch[];
  /** Adds it to h. */
  fromAttention(w: LayerWeights): Dispatch[];
  /** From h through a norm. */
  normed(norm: Norm, linear: Linear, to: LayerBuffer, epilogue: Epilogue): Dispatch[];
  product(linear: Linear, from: LayerBuffer, to: LayerBuffer, epilogue: Epilogue): Dispatch[];
}

/** A family of decoders: how its `config.json` reads, what its tensors are called, and what a layer does. */
export interface Family {
  /** @throws ResonantError `invalid_file` or `unsupported` naming the field */
  parse(config: unknown, name: string): DecoderConfig;
  readonly names: {
    readonly embed: string;
    readonly norm: string;
    readonly head: string;
    layer(index: number): string;
    readonly norm1: string;
    readonly norm2: string;
    /** One for all, or q, k and v. */
    readonly qkv: readonly string[];
    readonly out: string;
    /** One, or gate and up. */
    readonly up: readonly string[];
    readonly down: string;
    /** Tensors that may be there and say nothing. */
    readonly ignored: RegExp;
  };
  /** Norms are RMSNorms, without bias. */
  readonly rms: boolean;
  /** In the one matrix each head's q, k and v lie together. */
  readonly interleavedQkv: boolean;
  layer(w: LayerWeights, config: DecoderConfig, op: LayerOps): Dispatch[];
}
