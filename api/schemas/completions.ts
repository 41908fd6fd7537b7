import * as v from "valibot";
import { flag, integer, list, number, object, text } from "./fields.ts";
import { seedField, stopString, stopStrings } from "./generate.ts";
import { type Limits, modelNames } from "./limits.ts";

const PROMPTS = 16;

/** Only the value that changes nothing: refusing is better than ignoring. */
const only = <const T extends number>(value: T, what: string) =>
  v.nullish(v.pipe(v.literal(value, `${value}: ${what}`), v.description(`Only ${value}: ${what}`)));

const token = (limits: Limits) => integer(0, limits.vocabulary - 1, "Token id");

/** Body of `POST /v1/completions`, as OpenAI's clients send it. Null is as good as nothing. */
export const completionRequest = (limits: Limits) => {
  const prompt = text(1, limits.promptChars, "Text to continue");
  const tokens = list(token(limits), 1, limits.promptChars, "token ids");
  return v.pipe(
    object(
      {
        model: v.pipe(
          v.string("a string"),
          v.metadata(modelNames(limits)),
          v.description("The id that `/v1/models` lists"),
        ),
        prompt: v.pipe(
          v.union(
            [
              prompt,
              list(prompt, 1, PROMPTS, "strings"),
              tokens,
              list(tokens, 1, PROMPTS, "lists of token ids"),
            ],
            ({ input }) =>
              typeof input === "string"
                ? `a string of 1 to ${limits.promptChars} characters`
                : `a string, 1 to ${PROMPTS} strings, or token ids from 0 to ${limits.vocabulary - 1}`,
          ),
          v.description("A text, token ids, or several of either"),
        ),
        max_tokens: v.nullish(
          integer(0, limits.maxTokens, "Most tokens to generate"),
          Math.min(16, limits.maxTokens),
        ),
        temperature: v.nullish(number(0, 2, "0: the likeliest token, always"), 1),
        top_p: v.nullish(number(0, 1, "Draw among the likeliest tokens that together reach p"), 1),
        top_k: v.nullish(integer(0, 2 ** 31 - 1, "Draw among the k likeliest tokens; 0: all"), 0),
        repetition_penalty: v.nullish(number(1, 2, "Of tokens in prompt and output; 1: none"), 1),
        n: v.nullish(integer(1, limits.choices, "Continuations of each prompt"), 1),
        stream: v.nullish(flag("Answer as server-sent events"), false),
        stream_options: v.nullish(
          object(
            { include_usage: v.nullish(flag("End with a chunk that holds the usage"), false) },
            "an object",
          ),
        ),
        logprobs: v.nullish(
          integer(0, 5, "Log-probabilities of the tokens, and of so many likeliest others"),
        ),
        echo: v.nullish(flag("Give the prompt, too"), false),
        stop: v.nullish(
          v.pipe(
            v.union(
              [stopString(), stopStrings()],
              "a string of 1 to 256 characters, or a list of 0 to 64 of them",
            ),
            v.description("End before any of these"),
          ),
        ),
        seed: v.nullish(seedField()),
        presence_penalty: only(0, "use repetition_penalty"),
        frequency_penalty: only(0, "use repetition_penalty"),
        best_of: only(1, "use n"),
        suffix: v.nullish(v.literal("", "empty: nothing can be put before it")),
        logit_bias: v.nullish(v.null("null: tokens cannot be weighed")),
        user: v.nullish(v.string("a string")),
      },
      "a JSON object",
    ),
    v.title("CompletionRequest"),
  );
};

export type CompletionRequest = v.InferOutput<ReturnType<typeof completionRequest>>;

const whole = v.pipe(v.number(), v.integer());

const logprobs = v.object({
  tokens: v.array(v.string()),
  token_logprobs: v.array(v.nullable(v.number())),
  top_logprobs: v.nullable(v.array(v.nullable(v.record(v.string(), v.number())))),
  text_offset: v.array(whole),
});

export const usage = v.object({ prompt_tokens: whole, completion_tokens: whole, total_tokens: whole });

/** Answer of `POST /v1/completions`, and each chunk of one that streams. */
export const completionResponse = v.pipe(
  v.object({
    id: v.string(),
    object: v.literal("text_completion"),
    created: v.pipe(whole, v.description("Seconds since 1970")),
    model: v.string(),
    system_fingerprint: v.string(),
    choices: v.array(
      v.object({
        index: whole,
        text: v.string(),
        logprobs: v.nullable(logprobs),
        finish_reason: v.nullable(v.picklist(["stop", "length"])),
      }),
    ),
    usage: v.optional(v.nullable(usage)),
  }),
  v.title("Completion"),
);

export type Logprobs = v.InferOutput<typeof logprobs>;
export type Completion = v.InferOutput<typeof completionResponse>;
