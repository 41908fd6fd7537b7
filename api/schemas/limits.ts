import type { RetrievalMode } from "../../engine/retrieval/retrieval-model.ts";

/** What the deployment and the model allow a request. */
export interface Limits {
  /** The served model's name, once it is known. */
  readonly model: string | undefined;
  readonly maxTokens: number;
  readonly promptChars: number;
  readonly contextChars: number;
  /** Of one prompt. */
  readonly choices: number;
  /** Characters of an exported state. */
  readonly stateChars: number;
  readonly vocabulary: number;
  /** Whether the model has a chat template. */
  readonly chat: boolean;
  /** Largest scale of the readout's logit bias: 0 without an alignment. */
  readonly readoutScale: number;
  readonly retrievalModes: readonly [RetrievalMode, ...RetrievalMode[]];
}

/** For the OpenAPI document: a name that is none of these is not a fault of the request, but not found. */
export const modelNames = ({ model }: Limits) => (model === undefined ? {} : { enum: [model] });
