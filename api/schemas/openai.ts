import * as v from "valibot";
import { flag, integer, object, whole } from "./fields.ts";
import {
  repetitionPenaltyField,
  seedField,
  stopString,
  stopStrings,
  temperatureField,
  topKField,
  topPField,
} from "./generate.ts";
import { type Limits, modelNames } from "./limits.ts";
import { usage } from "./usage.ts";

// What the bodies and answers of OpenAI's endpoints have in common. Null is as good as nothing.

/** Only the value that changes nothing: refusing is better than ignoring. */
export const only = <const T extends number | string>(value: T, why: string) =>
  v.nullish(
    v.pipe(
      v.literal(value, `${value === "" ? "empty" : value}: ${why}`),
      v.description(`Only ${JSON.stringify(value)}: ${why}`),
    ),
  );

/** Only null: refusing is better than ignoring. */
export const nothing = (why: string) =>
  v.nullish(v.pipe(v.null(`null: ${why}`), v.description(`Only null: ${why}`)));

/** The fields that mean the same wherever a text is generated. */
export const generationFields = (limits: Limits) => ({
  model: v.pipe(
    v.string("a string"),
    v.metadata(modelNames(limits)),
    v.description("The id that `/v1/models` lists"),
  ),
  temperature: v.nullish(temperatureField(), 1),
  top_p: v.nullish(topPField(), 1),
  top_k: v.nullish(topKField(), 0),
  repetition_penalty: v.nullish(repetitionPenaltyField(), 1),
  n: v.nullish(integer(1, limits.choices, "Continuations of each prompt"), 1),
  stream: v.nullish(flag("Answer as server-sent events"), false),
  stream_options: v.nullish(
    object({ include_usage: v.nullish(flag("End with a chunk that holds the usage"), false) }, "an object"),
  ),
  stop: v.nullish(
    v.pipe(
      v.union([stopString(), stopStrings()], "a string of 1 to 256 characters, or a list of 0 to 64 of them"),
      v.description("End before any of these"),
    ),
  ),
  seed: v.nullish(seedField()),
  presence_penalty: only(0, "use repetition_penalty"),
  frequency_penalty: only(0, "use repetition_penalty"),
  logit_bias: nothing("tokens cannot be weighed"),
  user: v.nullish(v.string("a string")),
});

type Generation = v.ObjectSchema<ReturnType<typeof generationFields>, string>;
export type GenerationRequest = v.InferOutput<Generation>;

export const finishReason = v.nullable(v.picklist(["stop", "length"]));
export type FinishReason = v.InferOutput<typeof finishReason>;

/** An answer, or a chunk of one that streams, with choices of a kind. */
export const answerOf = <const Name extends string, Choice extends v.GenericSchema>(
  names: readonly [Name, ...Name[]],
  choice: Choice,
) =>
  v.object({
    id: v.string(),
    object: v.picklist(names),
    created: v.pipe(whole, v.description("Seconds since 1970")),
    model: v.string(),
    system_fingerprint: v.string(),
    choices: v.array(choice),
    usage: v.optional(v.nullable(usage)),
  });
