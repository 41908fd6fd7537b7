import type { Finish } from "../engine/generate.ts";
import type { Model } from "../engine/model.ts";

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
    phase_metrics: finish.phase ?? null,
    memory_stats: finish.memory ?? null,
    model_info: {
      model_name: model.name,
      num_afrb_layers: model.config.layers,
      hidden_size: model.config.shape.size,
    },
  };
}

/** `GET /v1/model/info`'s answer, and `resonant info --json`'s. */
export function modelInfo(model: Model) {
  const { config, weights } = model;
  return {
    model_name: model.name,
    num_afrb_layers: config.layers,
    hidden_size: config.shape.size,
    vocab_size: config.vocabulary,
    max_context_length: null,
    phase_features: {
      adaptive_omega: false,
      learnable_gamma: true,
      omega_base: config.phase.omega[0] ?? 0,
      phi_base: config.phase.phi[0] ?? 0,
    },
    memory_features: { pvm_enabled: config.shape.pvm, plm_enabled: config.shape.lattice !== undefined },
    device: model.gpu.kind,
    adapter: model.gpu.name,
    parameters: weights.parameters,
    weight_format: model.format,
    state_bytes: model.runner.pool.stateBytes,
    gpu_bytes: model.gpu.bytes,
    dispatches_per_token: model.runner.dispatchesPerToken,
    fingerprint: model.fingerprint,
  };
}
