/** What the Node and the browser library have in common. */

export { type ErrorCode, ResonantError } from "../../common/errors.ts";
export type { Logprobs } from "../../kernels/logprobs/logprobs.ts";
export type { WeightFormat } from "../../kernels/matrix.ts";
export { isSoftware } from "../device/device-kind.ts";
export { Gpu } from "../device/gpu.ts";
export type { Tuning } from "../device/tuning.ts";
export { collect, type Finish, type FinishReason, type GenerateOptions, type Piece } from "../generate.ts";
export type { MemoryStats, PhaseMetrics } from "../metrics.ts";
export { type LoadOptions, Model, type ModelFiles } from "../model.ts";
export type { ModelFacts } from "../model-facts.ts";
export {
  type Match,
  type Retrieval,
  type RetrievalMode,
  type RetrieveOptions,
  retrieve,
} from "../retrieval/retrieval.ts";
export type { EvaluateOptions, Evaluation } from "../runner/evaluate.ts";
export type { Stream } from "../state/stream.ts";
export type { LoadProgress } from "../weights.ts";
