import { setImmediate } from "node:timers/promises";
import {
  type AnswerFormat,
  answerWith,
  type ChoicePart,
  type Continuation,
  Continuations,
  choicePart,
  type GenerationContext,
  generateParts,
  joined,
  modelOf,
  type ScoredToken,
} from "../continuations.ts";
import { LogprobsWriter } from "../logprobs.ts";
import { post } from "../operation.ts";
import {
  type CompletionLogprobs,
  type CompletionRequest,
  completionRequest,
  completionResponse,
} from "../schemas/completions.ts";

/** `POST /v1/completions`, as OpenAI's clients expect it. */
export const completionsOperation = post({
  path: "/v1/completions",
  id: "createCompletion",
  tag: "OpenAI",
  summary: "Continue one or several texts (OpenAI-compatible)",
  body: completionRequest,
  example: ({ model }) => ({
    model: model ?? "resonant",
    prompt: "Once upon a time",
    max_tokens: 16,
    stop: ["END"],
  }),
  answer: completionResponse,
  events: "With `stream: true`: one message for each chunk, and a last message `[DONE]`",
  openAi: true,
  guarded: true,
  handle: async (c, service, request) => {
    const model = modelOf(service, request);
    const prompts: number[][] = [];
    for (const prompt of promptsOf(request.prompt)) {
      if (prompts.length > 0) await setImmediate(); // others come between two long ones
      prompts.push(typeof prompt === "string" ? await model.encode(prompt) : prompt);
    }
    const { seed, n, best_of } = request;
    const continuations = new Continuations(prompts, { seed, n: best_of ?? n });
    return answerWith(c, service, model, request, continuations, format, (continuation, context) =>
      choice(request, continuation, context),
    );
  },
});

function promptsOf(prompt: CompletionRequest["prompt"]): readonly (string | number[])[] {
  if (typeof prompt === "string") return [prompt];
  return typeof prompt[0] === "number" ? [prompt as number[]] : (prompt as string[] | number[][]);
}

const format: AnswerFormat<CompletionLogprobs> = {
  id: "cmpl",
  object: "text_completion",
  chunk: "text_completion",
  whole: (index, parts) => {
    const { text, finish_reason } = joined(parts);
    return { index, text, logprobs: LogprobsWriter.join(parts.map((part) => part.logprobs)), finish_reason };
  },
  chunks: (index, { text, logprobs, finish_reason }) =>
    text === "" && !logprobs && finish_reason === null ? [] : [{ index, text, logprobs, finish_reason }],
};

async function* choice(
  request: CompletionRequest,
  continuation: Continuation,
  context: GenerationContext,
): AsyncGenerator<ChoicePart<CompletionLogprobs>, void, undefined> {
  const { model, signal } = context;
  const { prompt } = continuation;
  const logprobs = request.logprobs ?? undefined;
  const writer = new LogprobsWriter(model);
  const write = (tokens: readonly ScoredToken[]) => (logprobs === undefined ? null : writer.write(tokens));
  if (request.echo) {
    const scores = logprobs === undefined ? [] : await model.score(prompt, logprobs, { signal });
    const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(
      Buffer.concat(prompt.map((token) => model.tokenBytes(token))),
    );
    const scored = prompt.map((token, i) => ({ token, logprobs: scores[i - 1] }));
    yield choicePart({ text, logprobs: write(scored) });
    writer.endPrompt();
  }
  if (request.max_tokens === 0) {
    yield choicePart({ logprobs: write([]), finish_reason: "length" });
    return;
  }
  const { max_tokens: maxTokens, best_of, n } = request;
  const ranked = (best_of ?? n) > n ? 0 : undefined;
  yield* generateParts(context, request, continuation, { maxTokens, logprobs: logprobs ?? ranked }, write);
}
