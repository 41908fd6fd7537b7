import type { Dispatch } from "../../kernels/kernel.ts";
import type { Norm } from "../../kernels/layer-norm/layer-norm.ts";
import type { Epilogue } from "../../kernels/linear/linear.ts";
import type { Matrix } from "../../kernels/matrix.ts";
import type { DecoderConfig } from "./decoder-config.ts";

/** A matrix, and its bias if it has one. */
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
  /** norm1's weight and bias, then qkv's bias, if it has one: `[2D + (H + 2 KV) · hd]`. */
  readonly qkvVectors: GPUBuffer;
  /** `[D, H · hd]`. */
  readonly out: Linear;
  /** `[M, D]`, or gate and up `[2M, D]`, with the two rows of a unit side by side. */
  readonly up: Linear;
  /** `[D, M]`. */
  readonly down: Linear;
}

/** The buffers that products read and write: h `[rows, D]`, or the MLP's `[rows, M]`. */
export type LayerBuffer = "h" | "inner";

/** The operations of a layer, for decode or prefill; a family lists them in order. */
export interface LayerOps {
  /** From h through the first norm to the output of attention's heads; only through the norm if attention is bypassed. */
  attend(w: LayerWeights): Dispatch[];
  /** Adds that to h; through the output projection, unless attention is bypassed. */
  fromAttention(w: LayerWeights): Dispatch[];
  /** A product of h after a norm. */
  normed(norm: Norm, linear: Linear, to: LayerBuffer, epilogue: Epilogue): Dispatch[];
  product(linear: Linear, from: LayerBuffer, to: LayerBuffer, epilogue: Epilogue): Dispatch[];
}

/** A family of decoders: how to read its `config.json`, the names of its tensors, and the operations of a layer. */
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
    /** One name for all three, or those of q, k and v. */
    readonly qkv: readonly string[];
    readonly out: string;
    /** One name, or those of gate and up. */
    readonly up: readonly string[];
    readonly down: string;
    /** Tensors that may be in the file and are not used. */
    readonly ignored: RegExp;
  };
  /** Whether the norms are RMSNorms, without bias. */
  readonly rms: boolean;
  /** Whether q, k and v of each head lie together in one matrix. */
  readonly interleavedQkv: boolean;
  layer(w: LayerWeights, config: DecoderConfig, op: LayerOps): Dispatch[];
}
