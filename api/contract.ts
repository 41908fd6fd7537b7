import type { ResonantError } from "../common/errors.ts";
import type { DeviceKind } from "../engine/device/device-kind.ts";
import type { CurvatureMetrics } from "../engine/diagnostics/curvature.ts";
import type { RetrievalDiagnostics } from "../engine/diagnostics/retrieval-diagnostics.ts";
import type { FinishReason, GenerateOptions } from "../engine/generate.ts";
import type { MemoryStats, PhaseMetrics } from "../engine/metrics.ts";
import type { DeviceChoice } from "../engine/platform/node/device.ts";
import type { GenerateRequest } from "./schemas/generate.ts";

// The only place that maps the library's names to the fields and values of the API contract.

const fields: Readonly<Record<string, string>> = {
  choice: "choice",
  context: "context",
  frequencyPenalty: "frequency_penalty",
  ignoreEos: "ignore_eos",
  logitBias: "logit_bias",
  logprobs: "logprobs",
  maxTokens: "max_tokens",
  messages: "messages",
  minP: "min_p",
  mode: "retrieval_mode",
  needle: "needle",
  phaseTemperature: "phase_temperature",
  presencePenalty: "presence_penalty",
  prompt: "prompt",
  query: "query",
  readoutScale: "readout_scale",
  repetitionPenalty: "repetition_penalty",
  seed: "seed",
  stopSequences: "stop_sequences",
  temperature: "temperature",
  tokens: "prompt", // the tokens that `score` reads are the request's prompt
  topK: "top_k",
  topP: "top_p",
};

/** Returns the request field that sets an option of the library. An option without a field keeps its name. */
export function fieldOf(path: string): string {
  const [option = path, ...indices] = path.split("[");
  return [fields[option] ?? option, ...indices].join("[");
}

/** Returns an error of the library with the contract's field names in place of the option names. */
export const inContract = (error: ResonantError): ResonantError => error.renamed(fieldOf);

/** Converts the body of `POST /v1/generate` to the options of a generation. */
export const generateOptions = (request: GenerateRequest): GenerateOptions => ({
  maxTokens: request.max_tokens,
  temperature: request.temperature,
  topK: request.top_k,
  topP: request.top_p,
  minP: request.min_p,
  repetitionPenalty: request.repetition_penalty,
  presencePenalty: request.presence_penalty,
  frequencyPenalty: request.frequency_penalty,
  logitBias: request.logit_bias ?? {},
  ignoreEos: request.ignore_eos,
  phaseTemperature: request.phase_temperature,
  readoutScale: request.readout_scale,
  stopSequences: request.stop_sequences ?? [],
  metrics: request.return_phase_metrics || request.return_memory_stats,
  ...(typeof request.seed === "number" ? { seed: request.seed } : {}),
});

/** The values of `finish_reason`: why a text ended. */
export const finishReasons = {
  length: "max_tokens",
  eos: "eos_token",
  stop: "stop_sequence",
} as const satisfies Readonly<Record<FinishReason, string>>;

/** The values of `device`: the kind of device that computes. */
export const deviceNames = {
  nvidia: "cuda",
  apple: "mps",
  gpu: "gpu",
  software: "cpu",
} as const satisfies Readonly<Record<DeviceKind, string>>;

/** The devices that a deployment can choose with `DEVICE` or `--device`. */
export const deviceChoices = {
  cuda: "hardware",
  gpu: "hardware",
  mps: "metal",
  cpu: "software",
} as const satisfies Readonly<Record<string, DeviceChoice>>;

export type DeviceName = keyof typeof deviceChoices;

/** Converts the metrics of a generation to `phase_metrics`. */
export const phaseMetricsOf = (phase: PhaseMetrics) => ({
  phase_coherence: phase.phaseCoherence,
  gamma_mean: phase.gammaMean,
  omega_values: phase.omegaValues,
  phase_offsets: phase.phaseOffsets,
});

/** Converts the memory statistics of a generation or a retrieval to `memory_stats`. */
export const memoryStatsOf = (memory: MemoryStats) => ({
  pvm_mem_norm: memory.pvmMemoryNorm,
  pvm_gate_strength: memory.pvmGateStrength,
  plm_coherence: memory.plmCoherence,
  total_memory_kb: memory.memoryBytes / 1024,
});

/** Converts the phase metrics of a retrieval to `phase_metrics`. */
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
