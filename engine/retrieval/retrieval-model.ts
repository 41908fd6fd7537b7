import type { EncodeOptions, TextTokenizer } from "../../weights/tokenizer.ts";
import type { Gpu } from "../device/gpu.ts";
import type { Weights } from "../weights.ts";

/** The memory to compare with: the vector memory, the lattice, or the mean of both. */
export type RetrievalMode = "pvm" | "plm" | "hybrid";

/** The parts of a model that the memories of its first block use: its weights and its tokenizer. */
export interface FeatureModel {
  readonly gpu: Gpu;
  readonly weights: Weights;
  readonly tokenizer: TextTokenizer | undefined;
}

/** The parts of a model that retrieval uses. */
export interface RetrievalModel extends FeatureModel {
  encode(text: string, options?: EncodeOptions): Promise<number[]>;
  tokenBytes(token: number): Uint8Array;
}

/** Returns the modes that a model supports, the default first; none if it has no memory. */
export function retrievalModes({ shape }: Weights): readonly RetrievalMode[] {
  const { pvm, lattice } = shape;
  return [
    ...(pvm ? (["pvm"] as const) : []),
    ...(lattice ? (["plm"] as const) : []),
    ...(pvm && lattice ? (["hybrid"] as const) : []),
  ];
}
