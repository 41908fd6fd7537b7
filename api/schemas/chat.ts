import * as v from "valibot";
import { samplingOptions } from "../../engine/sampling-options.ts";
import { flag, integer, list, object, picklist, text, whole } from "./fields.ts";
import type { Limits } from "./limits.ts";
import { answerOf, generationFields, noChoice, noneOf, nothing, openAiFinishReason } from "./openai.ts";

const { logprobs: logprobsRange } = samplingOptions;
const MESSAGES = 256;
const PARTS = 256;

const NO_TOOLS = "there are no tools";

const message = ({ promptChars }: Limits) => {
  const size = `of up to ${promptChars} characters`;
  const content = (description: string) => text(0, promptChars, description, size);
  const part = object({ type: v.literal("text", '"text"'), text: content("The part's text") }, "an object");
  const wanted = ({ input }: { readonly input: unknown }) =>
    typeof input === "string"
      ? `a string ${size}`
      : `a string ${size}, or a list of 1 to ${PARTS} parts {"type": "text", "text": a string}`;
  return v.pipe(
    object(
      {
        role: picklist(
          ["system", "developer", "user", "assistant"],
          "Author of the message; `developer` is treated as `system`",
        ),
        content: v.nullish(
          v.pipe(
            v.union([content("Text of the message"), list(part, 1, PARTS, "parts")], wanted),
            v.description("Text of the message, or a list of text parts, which are joined with line breaks"),
          ),
        ),
        tool_calls: noneOf(NO_TOOLS),
        function_call: nothing(NO_TOOLS),
      },
      "an object",
    ),
    // Clients send what an assistant has not said as null.
    v.forward(
      v.partialCheck(
        [["role"], ["content"]],
        ({ role, content }) => role === "assistant" || (content !== null && content !== undefined),
        wanted({ input: null }),
      ),
      ["content"],
    ),
    v.metadata({
      anyOf: [
        { properties: { role: { const: "assistant" } } },
        { required: ["content"], properties: { content: { type: ["string", "array"] } } },
      ],
    }),
  );
};

/** Body of `POST /v1/chat/completions`, as OpenAI's clients send it. A field that is null counts as absent. */
export const chatRequest = (limits: Limits) =>
  v.pipe(
    object(
      {
        ...generationFields(limits),
        messages: v.pipe(
          list(message(limits), 1, MESSAGES, "messages"),
          v.description(
            `The conversation, at most ${limits.promptChars} characters in the format of the model's chat template`,
          ),
        ),
        max_completion_tokens: v.nullish(
          integer(1, limits.maxTokens, `Maximum number of tokens to generate; default ${limits.maxTokens}`),
        ),
        max_tokens: v.nullish(integer(1, limits.maxTokens, "Older name of `max_completion_tokens`")),
        logprobs: v.nullish(flag("Return the log-probability of each generated token"), false),
        top_logprobs: v.nullish(
          integer(
            logprobsRange.least,
            logprobsRange.most,
            "With `logprobs`: also return this number of most likely tokens at each position",
          ),
          0,
        ),
        response_format: v.nullish(
          object(
            {
              type: v.pipe(
                v.literal("text", '"text": no other format is supported'),
                v.description("Only text is supported"),
              ),
            },
            "an object",
          ),
        ),
        tools: noneOf(NO_TOOLS),
        tool_choice: noChoice(NO_TOOLS),
        functions: noneOf(NO_TOOLS),
        function_call: noChoice(NO_TOOLS),
        parallel_tool_calls: v.nullish(flag(`Taken, but without effect: ${NO_TOOLS}`)),
      },
      "a JSON object",
    ),
    v.forward(
      v.partialCheck(
        [["logprobs"], ["top_logprobs"]],
        ({ logprobs, top_logprobs }) => logprobs || top_logprobs === 0,
        "0 unless logprobs is true",
      ),
      ["top_logprobs"],
    ),
    v.metadata({
      anyOf: [
        { required: ["logprobs"], properties: { logprobs: { const: true } } },
        { properties: { top_logprobs: { enum: [0, null] } } },
      ],
    }),
    v.title("ChatCompletionRequest"),
  );

export type ChatRequest = v.InferOutput<ReturnType<typeof chatRequest>>;

const scored = v.object({
  token: v.string(),
  logprob: v.number(),
  bytes: v.array(whole),
});

const logprobs = v.object({
  content: v.array(v.object({ ...scored.entries, top_logprobs: v.array(scored) })),
  refusal: v.null(),
});

const role = v.literal("assistant");

/** Answer of `POST /v1/chat/completions`. */
export const chatResponse = v.pipe(
  answerOf(
    ["chat.completion"],
    v.object({
      index: whole,
      message: v.object({ role, content: v.string(), refusal: v.null() }),
      logprobs: v.nullable(logprobs),
      finish_reason: openAiFinishReason,
    }),
  ),
  v.title("ChatCompletion"),
);

/** A chunk of a streamed answer of `POST /v1/chat/completions`. */
export const chatChunk = answerOf(
  ["chat.completion.chunk"],
  v.object({
    index: whole,
    delta: v.object({ role: v.optional(role), content: v.optional(v.string()) }),
    logprobs: v.nullable(logprobs),
    finish_reason: openAiFinishReason,
  }),
);

export type ChatLogprobs = v.InferOutput<typeof logprobs>;
export type ChatCompletion = v.InferOutput<typeof chatResponse>;
export type ChatChunk = v.InferOutput<typeof chatChunk>;
