import * as v from "valibot";
import { samplingOptions } from "../../engine/sampling-options.ts";
import { flag, integer, list, object, text, tokenId, whole } from "./fields.ts";
import type { Limits } from "./limits.ts";
import { answerOf, generationFields, only, openAiFinishReason } from "./openai.ts";

const { logprobs: logprobsRange } = samplingOptions;
const PROMPTS = 16;

/** Body of `POST /v1/completions`, as OpenAI's clients send it. A field that is null counts as absent. */
export const completionRequest = (limits: Limits) => {
  const prompt = text(1, limits.promptChars, "Text to continue");
  const tokens = list(tokenId(limits.vocabulary), 1, limits.promptChars, "token ids");
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
          v.description("A text, a list of texts, a list of token ids, or a list of lists of token ids"),
        ),
        max_tokens: v.nullish(
          integer(0, limits.maxTokens, "Maximum number of tokens to generate"),
          Math.min(16, limits.maxTokens),
        ),
        logprobs: v.nullish(
          integer(
            logprobsRange.least,
            logprobsRange.most,
            "Return the log-probability of each token, and of this number of most likely tokens at each position",
          ),
        ),
        echo: v.nullish(flag("Return the prompt before the continuation"), false),
        best_of: v.nullish(
          integer(
            1,
            limits.choices,
            "Number of continuations to generate for each prompt, at least `n`; the `n` with the highest mean log-probability per token are returned. Not with `stream`",
          ),
        ),
        suffix: only("", "text before a suffix cannot be generated"),
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
        "1 if stream is true: the best continuation is only known at the end",
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

/** Answer of `POST /v1/completions`, and each chunk of a streamed answer. */
export const completionResponse = v.pipe(
  answerOf(
    ["text_completion"],
    v.object({
      index: whole,
      text: v.string(),
      logprobs: v.nullable(logprobs),
      finish_reason: openAiFinishReason,
    }),
  ),
  v.title("Completion"),
);

export type CompletionLogprobs = v.InferOutput<typeof logprobs>;
export type Completion = v.InferOutput<typeof completionResponse>;
