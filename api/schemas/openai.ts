import * as v from "valibot";
import { samplingOptions } from "../../engine/sampling-options.ts";
import { flag, integer, object, whole } from "./fields.ts";
import {
  frequencyPenaltyField,
  ignoreEosField,
  minPField,
  presencePenaltyField,
  repetitionPenaltyField,
  stopString,
  stopStrings,
  temperatureField,
  topKField,
  topPField,
} from "./generate.ts";
import { type Limits, modelNames } from "./limits.ts";
import { logitBiasField } from "./logit-bias.ts";
import { usage } from "./usage.ts";

const { seed: seedRange } = samplingOptions;

// The common fields of the bodies and answers of OpenAI's endpoints. A field that is null counts as absent.

/** Schema of an unsupported field: accepts only its neutral value, since refusing others is better than ignoring them. */
export const only = <const T extends number | string>(value: T, why: string) =>
  v.nullish(
    v.pipe(
      v.literal(value, `${value === "" ? "empty" : value}: ${why}`),
      v.description(`Only ${JSON.stringify(value)}: ${why}`),
    ),
  );

/** Schema of an unsupported field: accepts only null, since refusing other values is better than ignoring them. */
export const nothing = (why: string) =>
  v.nullish(v.pipe(v.null(`null: ${why}`), v.description(`Only null: ${why}`)));

/** Schema of a list of what is not supported: accepts only null and the empty list, which ask for nothing. */
export const noneOf = (why: string) => {
  const message = `an empty list: ${why}`;
  return v.nullish(
    v.pipe(v.array(v.any(), message), v.maxLength(0, message), v.description(`Only an empty list: ${why}`)),
  );
};

/** Schema of a choice among what is not supported: accepts only null and the words that ask for nothing. */
export const noChoice = (why: string) =>
  v.nullish(
    v.pipe(
      v.picklist(["none", "auto"], `"none" or "auto": ${why}`),
      v.description(`Only \`none\` or \`auto\`: ${why}`),
    ),
  );

/** The fields that both endpoints share. */
export const generationFields = (limits: Limits) => ({
  model: v.pipe(
    v.string("a string"),
    v.metadata(modelNames(limits)),
    v.description("Id of the model, as listed by `/v1/models`"),
  ),
  temperature: v.nullish(temperatureField(), 1),
  top_p: v.nullish(topPField(), 1),
  top_k: v.nullish(topKField(), 0),
  repetition_penalty: v.nullish(repetitionPenaltyField(), 1),
  n: v.nullish(integer(1, limits.choices, "Number of continuations of each prompt"), 1),
  stream: v.nullish(flag("Send the answer as server-sent events"), false),
  stream_options: v.nullish(
    object({ include_usage: v.nullish(flag("Send a last chunk with the usage"), false) }, "an object"),
  ),
  stop: v.nullish(
    v.pipe(
      v.union([stopString(), stopStrings()], "a string of 1 to 256 characters, or a list of 0 to 64 of them"),
      v.description("Texts at which generation stops"),
    ),
  ),
  seed: v.nullish(
    integer(-1, seedRange.most, "The same seed gives the same text; default, and −1: a random seed"),
  ),
  min_p: v.nullish(minPField(), 0),
  presence_penalty: v.nullish(presencePenaltyField(), 0),
  frequency_penalty: v.nullish(frequencyPenaltyField(), 0),
  logit_bias: logitBiasField(limits),
  ignore_eos: v.nullish(ignoreEosField(), false),
  user: v.nullish(v.string("a string")),
});

type Generation = v.ObjectSchema<ReturnType<typeof generationFields>, string>;
export type GenerationRequest = v.InferOutput<Generation>;

export const openAiFinishReason = v.nullable(v.picklist(["stop", "length"]));
export type OpenAiFinishReason = v.InferOutput<typeof openAiFinishReason>;

/** Schema of an answer, or of a chunk of a streamed answer, whose choices have the schema `choice`. */
export const answerOf = <const Name extends string, Choice extends v.GenericSchema>(
  names: readonly [Name, ...Name[]],
  choice: Choice,
) =>
  v.object({
    id: v.string(),
    object: v.picklist(names),
    created: v.pipe(whole, v.description("Unix time in seconds")),
    model: v.string(),
    system_fingerprint: v.string(),
    choices: v.array(choice),
    usage: v.optional(v.nullable(usage)),
  });
