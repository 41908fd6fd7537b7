import type { Finish } from "../engine/generate.ts";
import type { Model } from "../engine/model.ts";
import { usageOf } from "./schemas/usage.ts";

/** `POST /v1/generate`'s answer, and `resonant generate --json`'s. */
export function generateResponse(
  model: Model,
  prompt: string,
  finish: Finish & { readonly text: string },
  milliseconds: number,
) {
  return {
    text: finish.text,
    prompt,
    tokens_generated: finish.tokens.length,
    finish_reason: finish.reason,
    timing_ms: milliseconds,
    seed: finish.seed,
    usage: usageOf(finish.promptTokens, finish.tokens.length, finish.reusedTokens),
    phase_metrics: finish.phase ?? null,
    memory_stats: finish.memory ?? null,
    model_info: {
      model_name: model.name,
      num_afrb_layers: model.weights.blocks.length,
      hidden_size: model.weights.shape.size,
    },
  };
}

/** `GET /v1/model/info`'s answer, and `resonant info --json`'s. */
export function modelInfo(model: Model) {
  const { config, weights } = model;
  const { shape, blocks } = weights;
  return {
    model_name: model.name,
    num_afrb_layers: blocks.length,
    hidden_size: shape.size,
    vocab_size: config.vocabulary,
    max_context_length: config.positions,
    phase_features: {
      adaptive_omega: config.adaptiveOmega,
      learnable_gamma: blocks.length > 0,
      omega_base: blocks[0]?.constants.driveOmega ?? null,
      phi_base: blocks[0]?.constants.drivePhi ?? null,
    },
    memory_features: { pvm_enabled: shape.pvm, plm_enabled: shape.lattice !== undefined },
    device: model.gpu.kind,
    adapter: model.gpu.name,
    parameters: weights.parameters,
    weight_format: model.format,
    state_bytes: model.runner.pool.stateBytes,
    gpu_bytes: model.gpu.bytes,
    dispatches_per_token: model.runner.dispatchesPerToken,
    fingerprint: model.fingerprint,
    alignment: model.alignment ?? null,
  };
}
