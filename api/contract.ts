import type { ResonantError } from "../common/errors.ts";
import type { DeviceKind } from "../engine/device/device-kind.ts";
import type { CurvatureMetrics } from "../engine/diagnostics/curvature.ts";
import type { RetrievalDiagnostics } from "../engine/diagnostics/retrieval-diagnostics.ts";
import type { FinishReason, GenerateOptions } from "../engine/generate.ts";
import type { MemoryStats, PhaseMetrics } from "../engine/metrics.ts";
import type { DeviceChoice } from "../engine/platform/node/device.ts";
import type { GenerateRequest } from "./schemas/generate.ts";

// The one place that knows both languages: the library's, and the API contract's with its fields and words.

const fields: Readonly<Record<string, string>> = {
  choice: "choice",
  context: "context",
  logprobs: "logprobs",
  maxTokens: "max_tokens",
  messages: "messages",
  mode: "retrieval_mode",
  needle: "needle",
  phaseTemperature: "phase_temperature",
  prompt: "prompt",
  query: "query",
  readoutScale: "readout_scale",
  repetitionPenalty: "repetition_penalty",
  seed: "seed",
  stopSequences: "stop_sequences",
  temperature: "temperature",
  tokens: "prompt", // what `score` takes is a request's prompt
  topK: "top_k",
  topP: "top_p",
};

/** The field by which a client gives an option of the library; an option that none gives keeps its name. */
export function fieldOf(path: string): string {
  const [option = path, ...indices] = path.split("[");
  return [fields[option] ?? option, ...indices].join("[");
}

/** An error of the library with the contract's names for its options. */
export const inContract = (error: ResonantError): ResonantError => error.renamed(fieldOf);

/** A generation's options from the body of `POST /v1/generate`. */
export const generateOptions = (request: GenerateRequest): GenerateOptions => ({
  maxTokens: request.max_tokens,
  temperature: request.temperature,
  topK: request.top_k,
  topP: request.top_p,
  repetitionPenalty: request.repetition_penalty,
  phaseTemperature: request.phase_temperature,
  readoutScale: request.readout_scale,
  stopSequences: request.stop_sequences ?? [],
  metrics: request.return_phase_metrics || request.return_memory_stats,
  ...(typeof request.seed === "number" ? { seed: request.seed } : {}),
});

/** Why a text ended, as `finish_reason` says it. */
export const finishReasons = {
  length: "max_tokens",
  eos: "eos_token",
  stop: "stop_sequence",
} as const satisfies Readonly<Record<FinishReason, string>>;

/** What computes, as `device` says it. */
export const deviceNames = {
  nvidia: "cuda",
  apple: "mps",
  gpu: "gpu",
  software: "cpu",
} as const satisfies Readonly<Record<DeviceKind, string>>;

/** What a deployment may ask for by the same words. */
export const deviceChoices = {
  cuda: "hardware",
  gpu: "hardware",
  mps: "metal",
  cpu: "software",
} as const satisfies Readonly<Record<string, DeviceChoice>>;

export type DeviceName = keyof typeof deviceChoices;

/** `phase_metrics` of a generation. */
export const phaseMetricsOf = (phase: PhaseMetrics) => ({
  phase_coherence: phase.phaseCoherence,
  gamma_mean: phase.gammaMean,
  omega_values: phase.omegaValues,
  phase_offsets: phase.phaseOffsets,
});

/** `memory_stats` of a generation or a retrieval. */
export const memoryStatsOf = (memory: MemoryStats) => ({
  pvm_mem_norm: memory.pvmMemoryNorm,
  pvm_gate_strength: memory.pvmGateStrength,
  plm_coherence: memory.plmCoherence,
  total_memory_kb: memory.memoryBytes / 1024,
});

/** `phase_metrics` of a retrieval. */
export const retrievalPhaseMetricsOf = (phase: RetrievalDiagnostics["phase"]) => ({
  phase_coherence: phase.phaseCoherence,
  plm_coherence: phase.plmCoherence,
  curvature: curvatureOf(phase.curvature),
});

const curvatureOf = (curvature: CurvatureMetrics) => ({
  curv_peak_at_needle: curvature.peakAtNeedle,
  curv_peak_before_needle: curvature.peakBeforeRetrieval,
  curv_traj_len: curvature.tokens,
  curv_peak_idx: curvature.peakIndex,
  curv_peak_offset_from_retrieval: curvature.peakOffset,
  curv_peak_at_needle_binary: curvature.peakIsAtNeedle === null ? null : Number(curvature.peakIsAtNeedle),
  curv_pre_peak_fraction: curvature.fractionBeforeRetrieval,
  curv_entropy: curvature.entropy,
});
