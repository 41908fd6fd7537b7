import type { EncodeOptions, TextTokenizer } from "../../weights/tokenizer.ts";
import type { Gpu } from "../device/gpu.ts";
import type { Weights } from "../weights.ts";

/** Which memory compares: the vector memory, the lattice, or the mean of the two. */
export type RetrievalMode = "pvm" | "plm" | "hybrid";

/** What of a model its first block's memories need: its weights, and what its tokens stand for. */
export interface FeatureModel {
  readonly gpu: Gpu;
  readonly weights: Weights;
  readonly tokenizer: TextTokenizer | undefined;
}

/** What retrieval needs of a model. */
export interface RetrievalModel extends FeatureModel {
  encode(text: string, options?: EncodeOptions): number[];
  tokenBytes(token: number): Uint8Array;
}

/** The memories that can compare, the one that is best by default first; none where a model has no memory. */
export function retrievalModes({ shape }: Weights): readonly RetrievalMode[] {
  const { pvm, lattice } = shape;
  return [
    ...(pvm ? (["pvm"] as const) : []),
    ...(lattice ? (["plm"] as const) : []),
    ...(pvm && lattice ? (["hybrid"] as const) : []),
  ];
}
