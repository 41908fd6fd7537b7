import * as v from "valibot";
import { samplingOptions } from "../../engine/sampling-options.ts";
import { flag, integer, list, number, object, text, whole } from "./fields.ts";
import type { Limits } from "./limits.ts";
import { sessionName, turns } from "./sessions.ts";
import { usage } from "./usage.ts";

/** The stop strings of a request. */
export const stopString = () => text(1, 256, "Text to end before");
export const stopStrings = () => list(stopString(), 0, 64, "strings");

const { maxTokens, temperature, topK, topP, repetitionPenalty, phaseTemperature, seed } = samplingOptions;

/** Fields of every endpoint that generates. */
export const temperatureField = () =>
  number(temperature.least, temperature.most, "0: the likeliest token, always");
export const topKField = () => integer(topK.least, topK.most, "Draw among the k likeliest tokens; 0: all");
export const topPField = () =>
  number(topP.least, topP.most, "Draw among the likeliest tokens that together reach p");
export const repetitionPenaltyField = () =>
  number(repetitionPenalty.least, repetitionPenalty.most, "Of tokens in prompt and output; 1: none");
export const seedField = () =>
  integer(seed.least, seed.most, "The same seed gives the same text; without one, a random seed is drawn");

/** Body of `POST /v1/generate`. Fields, defaults and ranges are the contract's; the last seven are ours. */
export const generateRequest = (limits: Limits) =>
  v.pipe(
    object(
      {
        prompt: v.optional(
          text(0, limits.promptChars, "Text to continue; required, but where `state` or `session` is given"),
        ),
        max_tokens: v.optional(
          integer(maxTokens.least, limits.maxTokens, "Most tokens to generate"),
          Math.min(maxTokens.default, limits.maxTokens),
        ),
        temperature: v.optional(temperatureField(), temperature.default),
        top_k: v.optional(topKField(), topK.default),
        top_p: v.optional(topPField(), topP.default),
        repetition_penalty: v.optional(repetitionPenaltyField(), repetitionPenalty.default),
        stop_sequences: v.nullish(v.pipe(stopStrings(), v.description("End before any of these"))),
        seed: v.nullish(seedField()),
        return_phase_metrics: v.optional(flag("Measure the phases on this run"), false),
        return_memory_stats: v.optional(flag("Measure the memories on this run"), false),
        stream: v.optional(flag("Answer as server-sent events"), false),
        return_state: v.optional(flag("Give the stream's state, to be continued"), false),
        state: v.nullish(
          text(1, limits.stateChars, "A state that an earlier answer gave: continue from there"),
        ),
        session: v.nullish(
          sessionName(
            "A session that the server keeps: go on from its last turn; where there is none, a new one",
          ),
        ),
        turn: v.nullish(
          turns("With `session`: how many it must have had, 0 for a new one, so that no turn is taken twice"),
        ),
        phase_temperature: v.optional(
          number(
            phaseTemperature.least,
            phaseTemperature.most,
            "λ: each step's temperature times 1 + λ (1 − R), R the phases' coherence",
          ),
          phaseTemperature.default,
        ),
        readout_scale: v.optional(
          number(
            samplingOptions.readoutScale.least,
            limits.readoutScale,
            "Scale of the calibrated readout's logit bias; above 0 the server needs an alignment",
            limits.readoutScale === 0 ? "0: the server has no alignment" : undefined,
          ),
          samplingOptions.readoutScale.default,
        ),
      },
      "a JSON object",
    ),
    v.forward(
      v.partialCheck(
        [["prompt"], ["state"], ["session"]],
        ({ prompt = "", state, session }) =>
          prompt.length > 0 || typeof state === "string" || typeof session === "string",
        `a string of 1 to ${limits.promptChars} characters`,
      ),
      ["prompt"],
    ),
    v.forward(
      v.partialCheck(
        [["state"], ["session"]],
        ({ state, session }) => typeof state !== "string" || typeof session !== "string",
        "left out where session is given",
      ),
      ["state"],
    ),
    v.forward(
      v.partialCheck(
        [["turn"], ["session"]],
        ({ turn, session }) => typeof turn !== "number" || typeof session === "string",
        "left out where no session is given",
      ),
      ["turn"],
    ),
    v.metadata({
      anyOf: [
        { required: ["prompt"], properties: { prompt: { minLength: 1 }, ...without("session", "turn") } },
        { required: ["state"], properties: { state: { type: "string" }, ...without("session", "turn") } },
        { required: ["session"], properties: { session: { type: "string" }, ...without("state") } },
      ],
    }),
    v.title("GenerateRequest"),
  );

/** Fields left out, or null. */
const without = (...fields: string[]) =>
  Object.fromEntries(fields.map((field) => [field, { type: "null" as const }]));

export type GenerateRequest = v.InferOutput<ReturnType<typeof generateRequest>>;

const measured = (what: string) =>
  v.pipe(v.nullable(v.number()), v.description(`${what}; null where the model has none`));

export const phaseMetrics = v.pipe(
  v.object({
    phase_coherence: measured("Order parameter of the phases, 0 to 1, over blocks and tokens"),
    gamma_mean: measured("Mean γ of the blocks"),
    omega_values: v.pipe(v.array(v.number()), v.readonly(), v.description("Of each block's drive")),
    phase_offsets: v.pipe(v.array(v.number()), v.readonly(), v.description("Of each block's drive")),
  }),
  v.title("PhaseMetrics"),
);

export const memoryStats = v.pipe(
  v.object({
    pvm_mem_norm: measured("Mean |m| of the vector memory at the end"),
    pvm_gate_strength: measured("Mean gate of the vector memory"),
    plm_coherence: measured("Coherence of the lattice"),
    total_memory_kb: v.pipe(v.number(), v.description("The stream's recurrent state")),
  }),
  v.title("MemoryStats"),
);

export const finishReason = v.picklist(["max_tokens", "eos_token", "stop_sequence"]);

/** Answer of `POST /v1/generate`, and what `resonant generate --json` prints. */
export const generateResponse = v.pipe(
  v.object({
    text: v.pipe(v.string(), v.description("The continuation, without the prompt")),
    prompt: v.string(),
    tokens_generated: whole,
    finish_reason: finishReason,
    timing_ms: v.pipe(v.number(), v.description("Without the time in the queue")),
    seed: v.pipe(whole, v.description("Gives the same text again")),
    usage,
    phase_metrics: v.nullable(phaseMetrics),
    memory_stats: v.nullable(memoryStats),
    model_info: v.object({
      model_name: v.string(),
      num_afrb_layers: whole,
      hidden_size: whole,
    }),
    state: v.optional(v.pipe(v.string(), v.description("Where `return_state` asked for it"))),
    session: v.optional(v.pipe(v.string(), v.description("The session that it was a turn of"))),
    turn: v.optional(v.pipe(whole, v.description("Turns that the session now has had"))),
  }),
  v.title("GenerateResponse"),
);

export type GenerateResponse = v.InferOutput<typeof generateResponse>;
