import * as v from "valibot";
import { type NumberRange, samplingOptions } from "../../engine/sampling-options.ts";
import { flag, integer, list, number, object, text, whole } from "./fields.ts";
import type { Limits } from "./limits.ts";
import { logitBiasField } from "./logit-bias.ts";
import { sessionName, turns } from "./sessions.ts";
import { usage } from "./usage.ts";

/** Stop strings of a request. */
export const stopString = () => text(1, 256, "Text at which generation stops; it is not part of the output");
export const stopStrings = () => list(stopString(), 0, 64, "strings");

const {
  maxTokens,
  temperature,
  topK,
  topP,
  minP,
  repetitionPenalty,
  presencePenalty,
  frequencyPenalty,
  phaseTemperature,
  seed,
} = samplingOptions;

const within = ({ least, most }: NumberRange, about: string) => number(least, most, about);

/** Fields of all endpoints that generate text. */
export const temperatureField = () =>
  within(temperature, "Randomness of sampling; 0: always the most likely token");
export const topKField = () =>
  integer(topK.least, topK.most, "Sample from the k most likely tokens; 0: from all");
export const topPField = () =>
  within(topP, "Sample from the most likely tokens whose probabilities add up to p");
export const repetitionPenaltyField = () =>
  within(repetitionPenalty, "Penalty for tokens that occur in the prompt or the output; 1: none");
export const minPField = () =>
  within(minP, "Sample from tokens at least this share as likely as the likeliest; 0: from all");
export const presencePenaltyField = () =>
  within(presencePenalty, "Taken from the logit of each token that the output has so far; 0: none");
export const frequencyPenaltyField = () =>
  within(
    frequencyPenalty,
    "Taken from a token's logit once for each time that the output has it so far; 0: none",
  );
export const ignoreEosField = () => flag("Go on after tokens that end a text");
export const seedField = () =>
  integer(seed.least, seed.most, "The same seed gives the same text; default: a random seed");

/** Body of `POST /v1/generate`. The contract defines fields, defaults and ranges; those after `return_memory_stats` are our own. */
export const generateRequest = (limits: Limits) =>
  v.pipe(
    object(
      {
        prompt: v.optional(
          text(0, limits.promptChars, "Text to continue; required unless `state` or `session` is given"),
        ),
        max_tokens: v.optional(
          integer(maxTokens.least, limits.maxTokens, "Maximum number of tokens to generate"),
          Math.min(maxTokens.default, limits.maxTokens),
        ),
        temperature: v.optional(temperatureField(), temperature.default),
        top_k: v.optional(topKField(), topK.default),
        top_p: v.optional(topPField(), topP.default),
        repetition_penalty: v.optional(repetitionPenaltyField(), repetitionPenalty.default),
        stop_sequences: v.nullish(v.pipe(stopStrings(), v.description("Texts at which generation stops"))),
        seed: v.nullish(seedField()),
        return_phase_metrics: v.optional(flag("Return phase metrics of this generation"), false),
        return_memory_stats: v.optional(flag("Return memory statistics of this generation"), false),
        stream: v.optional(flag("Send the answer as server-sent events"), false),
        return_state: v.optional(
          flag("Return the state at the end, from which a later request can continue"),
          false,
        ),
        state: v.nullish(text(1, limits.stateChars, "The state of an earlier answer, to continue from")),
        session: v.nullish(
          sessionName(
            "Name of a session on the server: continue from its last turn, or start it if it does not exist",
          ),
        ),
        turn: v.nullish(
          turns(
            "With `session`: the number of turns it must have had, 0 for a new one; this prevents repeated turns",
          ),
        ),
        phase_temperature: v.optional(
          within(
            phaseTemperature,
            "λ: the temperature of each step is multiplied by 1 + λ (1 − R), where R is the coherence of the phases",
          ),
          phaseTemperature.default,
        ),
        min_p: v.nullish(minPField(), minP.default),
        presence_penalty: v.nullish(presencePenaltyField(), presencePenalty.default),
        frequency_penalty: v.nullish(frequencyPenaltyField(), frequencyPenalty.default),
        logit_bias: logitBiasField(limits),
        ignore_eos: v.nullish(ignoreEosField(), false),
        readout_scale: v.optional(
          number(
            samplingOptions.readoutScale.least,
            limits.readoutScale,
            "Scale of the calibrated readout's logit bias; values above 0 need a server with an alignment",
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
        "left out if session is given",
      ),
      ["state"],
    ),
    v.forward(
      v.partialCheck(
        [["turn"], ["session"]],
        ({ turn, session }) => typeof turn !== "number" || typeof session === "string",
        "left out if no session is given",
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

/** JSON Schema of fields that must be absent or null. */
const without = (...fields: string[]) =>
  Object.fromEntries(fields.map((field) => [field, { type: "null" as const }]));

export type GenerateRequest = v.InferOutput<ReturnType<typeof generateRequest>>;

const measured = (what: string) =>
  v.pipe(v.nullable(v.number()), v.description(`${what}; null if the model has none`));

export const phaseMetrics = v.pipe(
  v.object({
    phase_coherence: measured("Order parameter of the phases, 0 to 1, mean over blocks and tokens"),
    gamma_mean: measured("Mean of the blocks' γ"),
    omega_values: v.pipe(v.array(v.number()), v.readonly(), v.description("ω of each block's drive")),
    phase_offsets: v.pipe(v.array(v.number()), v.readonly(), v.description("φ of each block's drive")),
  }),
  v.title("PhaseMetrics"),
);

export const memoryStats = v.pipe(
  v.object({
    pvm_mem_norm: measured("Mean |m| of the vector memory after the last token"),
    pvm_gate_strength: measured("Mean gate of the vector memory"),
    plm_coherence: measured("Coherence of the lattice"),
    total_memory_kb: v.pipe(v.number(), v.description("Size of the stream's recurrent state, in KiB")),
  }),
  v.title("MemoryStats"),
);

export const finishReason = v.picklist(["max_tokens", "eos_token", "stop_sequence"]);

/** Answer of `POST /v1/generate` and of `resonant generate --json`. */
export const generateResponse = v.pipe(
  v.object({
    text: v.pipe(v.string(), v.description("The continuation, without the prompt")),
    prompt: v.string(),
    tokens_generated: whole,
    finish_reason: finishReason,
    timing_ms: v.pipe(v.number(), v.description("Duration without the time in the queue, in milliseconds")),
    seed: v.pipe(whole, v.description("The seed used; it gives the same text again")),
    usage,
    phase_metrics: v.nullable(phaseMetrics),
    memory_stats: v.nullable(memoryStats),
    model_info: v.object({
      model_name: v.string(),
      num_afrb_layers: whole,
      hidden_size: whole,
    }),
    state: v.optional(v.pipe(v.string(), v.description("The state at the end, if `return_state` is true"))),
    session: v.optional(v.pipe(v.string(), v.description("The name of the session"))),
    turn: v.optional(v.pipe(whole, v.description("The number of turns in the session, including this one"))),
  }),
  v.title("GenerateResponse"),
);

export type GenerateResponse = v.InferOutput<typeof generateResponse>;
