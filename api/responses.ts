import type { Finish } from "../engine/generate.ts";
import type { Model } from "../engine/model.ts";
import { deviceNames, finishReasons, memoryStatsOf, phaseMetricsOf } from "./contract.ts";
import { usageOf } from "./schemas/usage.ts";

/** Returns the answer of `POST /v1/generate` and of `resonant generate --json`. */
export function generateAnswer(
  model: Model,
  prompt: string,
  finish: Finish & { readonly text: string },
  milliseconds: number,
) {
  return {
    text: finish.text,
    prompt,
    tokens_generated: finish.tokens.length,
    finish_reason: finishReasons[finish.reason],
    timing_ms: milliseconds,
    seed: finish.seed,
    usage: usageOf(finish.promptTokens, finish.tokens.length, finish.reusedTokens),
    phase_metrics: finish.phase ? phaseMetricsOf(finish.phase) : null,
    memory_stats: finish.memory ? memoryStatsOf(finish.memory) : null,
    model_info: {
      model_name: model.name,
      num_afrb_layers: model.facts.blocks.length,
      hidden_size: model.facts.size,
    },
  };
}

/** Returns the answer of `GET /v1/model/info` and of `resonant info --json`. */
export function modelInfo(model: Model) {
  const { blocks, ...facts } = model.facts;
  return {
    model_name: model.name,
    num_afrb_layers: blocks.length,
    hidden_size: facts.size,
    vocab_size: facts.vocabulary,
    max_context_length: facts.positions,
    phase_features: {
      adaptive_omega: facts.adaptiveOmega,
      learnable_gamma: blocks.length > 0,
      omega_base: blocks[0]?.driveOmega ?? null,
      phi_base: blocks[0]?.drivePhi ?? null,
    },
    memory_features: { pvm_enabled: facts.pvm, plm_enabled: facts.lattice !== undefined },
    device: deviceNames[model.gpu.kind],
    adapter: model.gpu.name,
    bit_agreement: { shown_by: model.gpu.agreement.shownBy, differing: [...model.gpu.agreement.differing] },
    parameters: facts.parameters,
    weight_format: facts.format,
    state_bytes: facts.stateBytes,
    gpu_bytes: model.gpu.bytes,
    dispatches_per_token: facts.dispatchesPerToken,
    fingerprint: model.fingerprint,
    alignment: model.alignment ?? null,
  };
}
