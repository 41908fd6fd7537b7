import * as v from "valibot";
import { samplingOptions } from "../../engine/sampling-options.ts";
import { flag, integer, list, object, text, whole } from "./fields.ts";
import type { Limits } from "./limits.ts";
import { answerOf, finishReason, generationFields, only } from "./openai.ts";

const { logprobs: logprobsRange } = samplingOptions;
const PROMPTS = 16;

const token = (limits: Limits) => integer(0, limits.vocabulary - 1, "Token id");

/** Body of `POST /v1/completions`, as OpenAI's clients send it. Null is as good as nothing. */
export const completionRequest = (limits: Limits) => {
  const prompt = text(1, limits.promptChars, "Text to continue");
  const tokens = list(token(limits), 1, limits.promptChars, "token ids");
  return v.pipe(
    object(
      {
        ...generationFields(limits),
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
        logprobs: v.nullish(
          integer(
            logprobsRange.least,
            logprobsRange.most,
            "Log-probabilities of the tokens, and of so many likeliest others",
          ),
        ),
        echo: v.nullish(flag("Give the prompt, too"), false),
        best_of: v.nullish(
          integer(
            1,
            limits.choices,
            "Continuations to generate of each prompt, at least n, of which the n likeliest by token are given; not for streams",
          ),
        ),
        suffix: only("", "nothing can be put before it"),
      },
      "a JSON object",
    ),
    v.forward(
      v.partialCheck([["best_of"], ["n"]], ({ best_of, n }) => (best_of ?? n) >= n, "at least n"),
      ["best_of"],
    ),
    v.forward(
      v.partialCheck(
        [["best_of"], ["stream"]],
        ({ best_of, stream }) => !stream || (best_of ?? 1) === 1,
        "1 where stream is true: which is the best is known at the end",
      ),
      ["best_of"],
    ),
    v.metadata({
      allOf: [
        {
          anyOf: Array.from({ length: limits.choices }, (_, k) => ({
            properties: { n: { maximum: k + 1 }, best_of: { minimum: k + 1 } },
          })),
        },
        {
          anyOf: [
            { properties: { stream: { enum: [false, null] } } },
            { properties: { best_of: { enum: [1, null] } } },
          ],
        },
      ],
    }),
    v.title("CompletionRequest"),
  );
};

export type CompletionRequest = v.InferOutput<ReturnType<typeof completionRequest>>;

const logprobs = v.object({
  tokens: v.array(v.string()),
  token_logprobs: v.array(v.nullable(v.number())),
  top_logprobs: v.nullable(v.array(v.nullable(v.record(v.string(), v.number())))),
  text_offset: v.array(whole),
});

/** Answer of `POST /v1/completions`, and each chunk of one that streams. */
export const completionResponse = v.pipe(
  answerOf(
    ["text_completion"],
    v.object({
      index: whole,
      text: v.string(),
      logprobs: v.nullable(logprobs),
      finish_reason: finishReason,
    }),
  ),
  v.title("Completion"),
);

export type Logprobs = v.InferOutput<typeof logprobs>;
export type Completion = v.InferOutput<typeof completionResponse>;
