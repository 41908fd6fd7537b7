import type { RetrievalMode } from "../../engine/retrieval/retrieval-model.ts";

/** The limits that the deployment and the model set for requests. */
export interface Limits {
  /** The name of the served model; undefined until it is loaded. */
  readonly model: string | undefined;
  readonly maxTokens: number;
  /** Lengths are in characters. */
  readonly promptChars: number;
  readonly contextChars: number;
  /** Most continuations of one prompt. */
  readonly choices: number;
  /** Most characters of an exported state. */
  readonly stateChars: number;
  readonly vocabulary: number;
  /** Whether the model has a chat template. */
  readonly chat: boolean;
  /** The largest scale of the readout's logit bias; 0 without an alignment. */
  readonly readoutScale: number;
  readonly retrievalModes: readonly [RetrievalMode, ...RetrievalMode[]];
}

/** Metadata for the OpenAPI document only: another name is answered with `not_found`, not with `validation_error`. */
export const modelNames = ({ model }: Limits) => (model === undefined ? {} : { enum: [model] });
