import type { Model } from "../../engine/model.ts";
import {
  type AnswerFormat,
  answerWith,
  Continuations,
  generateParts,
  joined,
  modelOf,
} from "../continuations.ts";
import { ApiError } from "../errors.ts";
import { chatLogprobs, joinChatLogprobs } from "../logprobs.ts";
import { post } from "../operation.ts";
import {
  type ChatChunk,
  type ChatCompletion,
  type ChatLogprobs,
  type ChatRequest,
  chatRequest,
  chatResponse,
} from "../schemas/chat.ts";
import { characters } from "../schemas/fields.ts";
import type { Limits } from "../schemas/limits.ts";

/** `POST /v1/chat/completions`, as OpenAI's clients expect it. */
export const chatOperation = post({
  path: "/v1/chat/completions",
  id: "createChatCompletion",
  tag: "OpenAI",
  summary: "Answer in a conversation (OpenAI-compatible); for models with a chat template",
  body: chatRequest,
  example: ({ model }) => ({
    model: model ?? "resonant",
    messages: [
      { role: "system", content: "Be brief." },
      { role: "user", content: "What is a phase?" },
    ],
    max_completion_tokens: 64,
  }),
  answer: chatResponse,
  events: "With `stream: true`: one message for each chunk, and a last message `[DONE]`",
  openAi: true,
  offered: ({ chat }) => chat,
  guarded: true,
  handle: async (c, service, request) => {
    const model = modelOf(service, request);
    const prompt = await promptOf(model, request.messages, service.limits);
    const continuations = new Continuations([prompt], request);
    const logprobs = request.logprobs ? request.top_logprobs : undefined;
    const maxTokens = request.max_completion_tokens ?? request.max_tokens ?? service.limits.maxTokens;
    const eosId = model.tokenizer?.eosId ?? null; // ends a turn; some configurations do not name it
    const more = { maxTokens, logprobs, eosIds: eosId === null ? [] : [eosId] };
    return answerWith(c, service, model, request, continuations, format, (continuation, context) =>
      generateParts(context, request, continuation, more, (tokens) =>
        logprobs === undefined ? null : chatLogprobs(model, tokens),
      ),
    );
  },
});

/** Returns the conversation's tokens. @throws ApiError `validation_error` naming `messages` */
async function promptOf(model: Model, messages: ChatRequest["messages"], limits: Limits): Promise<number[]> {
  const refusal = (message: string): ApiError =>
    new ApiError("validation_error", message, { details: { field: "messages" } });
  if (!model.chatTemplate) {
    throw refusal("messages cannot be answered: the model has no chat template; use /v1/completions");
  }
  const text = await model.chatTemplate.render(
    messages.map(({ role, content }) => ({
      // Chat templates only know the older name of this role.
      role: role === "developer" ? "system" : role,
      content: typeof content === "string" ? content : (content ?? []).map((part) => part.text).join("\n"),
    })),
  );
  const most = limits.promptChars;
  if (text.length > most && characters(text) > most) {
    throw refusal(`messages must be at most ${most} characters in the format of the model's chat template`);
  }
  const prompt = await model.encode(text, { special: false });
  const { positions } = model.facts;
  if (positions !== null && prompt.length > positions) {
    throw refusal(`messages have ${prompt.length} tokens, but the model has ${positions} positions`);
  }
  return prompt;
}

type Choice = ChatCompletion["choices"][number];
type ChunkChoice = ChatChunk["choices"][number];

const format: AnswerFormat<ChatLogprobs> = {
  id: "chatcmpl",
  object: "chat.completion",
  chunk: "chat.completion.chunk",
  whole: (index, parts): Choice => {
    const { text: content, finish_reason } = joined(parts);
    return {
      index,
      message: { role: "assistant", content, refusal: null },
      logprobs: joinChatLogprobs(parts.map((part) => part.logprobs)),
      finish_reason,
    };
  },
  chunks: (index, { text: content, logprobs, finish_reason }, first): ChunkChoice[] => {
    const silent = content === "" && !logprobs?.content.length;
    const plain = { index, logprobs: null, finish_reason: null };
    return [
      ...(first ? [{ ...plain, delta: { role: "assistant" as const, content: "" } }] : []),
      ...(silent ? [] : [{ ...plain, delta: { content }, logprobs }]),
      ...(finish_reason === null ? [] : [{ ...plain, delta: {}, finish_reason }]),
    ];
  },
};
