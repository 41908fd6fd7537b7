import * as v from "valibot";
import { errorKinds } from "../errors.ts";
import { whole } from "./fields.ts";

/** An error of all endpoints except OpenAI's. */
export const errorResponse = v.pipe(
  v.object({
    error: v.picklist(errorKinds),
    message: v.string(),
    details: v.nullable(
      v.object({
        field: v.optional(v.string()),
        value: v.optional(v.any()),
        allowed: v.optional(v.pipe(v.string(), v.description("The allowed values of the field"))),
      }),
    ),
    timestamp: v.string(),
  }),
  v.title("Error"),
);

/** An error of OpenAI's endpoints. */
export const openAiErrorResponse = v.pipe(
  v.object({
    error: v.object({
      message: v.string(),
      type: v.string(),
      param: v.nullable(v.string()),
      code: v.nullable(v.string()),
    }),
  }),
  v.title("OpenAIError"),
);

/** Answer of `GET /v1/health`. */
export const healthResponse = v.pipe(
  v.object({
    status: v.picklist(["healthy", "loading", "draining", "unhealthy"]),
    model_loaded: v.boolean(),
    uptime_seconds: v.number(),
    version: v.string(),
    timestamp: v.string(),
  }),
  v.title("Health"),
);

/** Answer of `GET /v1/model/info` and of `resonant info --json`. */
export const modelInfoResponse = v.pipe(
  v.object({
    model_name: v.string(),
    num_afrb_layers: whole,
    hidden_size: whole,
    vocab_size: whole,
    max_context_length: v.pipe(v.nullable(whole), v.description("Maximum number of tokens; null: unlimited")),
    phase_features: v.object({
      adaptive_omega: v.boolean(),
      learnable_gamma: v.boolean(),
      omega_base: v.pipe(
        v.nullable(v.number()),
        v.description("ω of the first adapter's drive; null if there is none"),
      ),
      phi_base: v.nullable(v.number()),
    }),
    memory_features: v.object({ pvm_enabled: v.boolean(), plm_enabled: v.boolean() }),
    device: v.pipe(v.picklist(["cuda", "mps", "gpu", "cpu"]), v.description("cpu: a software adapter")),
    adapter: v.pipe(v.string(), v.description("Name of the GPU, as its driver reports it")),
    bit_agreement: v.pipe(
      v.object({
        shown_by: v.picklist(["tests", "check", "nothing"]),
        differing: v.array(v.string()),
      }),
      v.description(
        "Whether a row's kernels and a batch's give the same bits here, and what shows it; where some differ, batches are decoded a row at a time",
      ),
    ),
    parameters: whole,
    weight_format: v.string(),
    state_bytes: v.pipe(whole, v.description("Size of one stream's state")),
    gpu_bytes: whole,
    dispatches_per_token: whole,
    fingerprint: v.pipe(v.string(), v.description("SHA-256 of the configuration and the weights")),
    alignment: v.pipe(
      v.nullable(v.object({ lambda: v.number(), tokens: whole, residual: v.number() })),
      v.description("How the readout of `readout_scale` was fitted; null if there is none"),
    ),
  }),
  v.title("ModelInfo"),
);

/** Answer of `GET /v1/models`. */
export const modelCard = v.pipe(
  v.object({ id: v.string(), object: v.literal("model"), created: whole, owned_by: v.string() }),
  v.title("Model"),
);

export const modelsResponse = v.pipe(
  v.object({ object: v.literal("list"), data: v.array(modelCard) }),
  v.title("Models"),
);

/** Answer of `GET /livez` and `GET /readyz`. */
export const probeResponse = v.pipe(
  v.object({ status: v.string(), detail: v.nullable(v.string()) }),
  v.title("Probe"),
);

/** Answer of `GET /`. */
export const rootResponse = v.pipe(
  v.object({
    name: v.string(),
    version: v.string(),
    docs: v.nullable(v.string()),
    redoc: v.nullable(v.string()),
    openapi: v.nullable(v.string()),
    health: v.string(),
  }),
  v.title("Root"),
);
