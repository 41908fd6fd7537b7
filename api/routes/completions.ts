import { randomUUID } from "node:crypto";
import { setMaxListeners } from "node:events";
import type { Model } from "../../engine/model.ts";
import type { Logprobs as TokenLogprobs } from "../../kernels/logprobs/logprobs.ts";
import { ApiError } from "../errors.ts";
import { LogprobsWriter } from "../logprobs.ts";
import { merge } from "../merge.ts";
import { post } from "../operation.ts";
import {
  type Completion,
  type CompletionRequest,
  completionRequest,
  completionResponse,
} from "../schemas/completions.ts";
import type { Service } from "../service.ts";
import { eventStream, type ServerSentEvent } from "../sse.ts";
import type { GenerationTimer } from "../telemetry.ts";

/** `POST /v1/completions`, as OpenAI's clients expect it. */
export const completionsOperation = post({
  path: "/v1/completions",
  id: "createCompletion",
  tag: "OpenAI",
  summary: "Continue texts, as OpenAI's clients ask for it",
  body: completionRequest,
  example: ({ model }) => ({
    model: model ?? "resonant",
    prompt: "Once upon a time",
    max_tokens: 16,
    stop: ["END"],
  }),
  answer: completionResponse,
  events: "With `stream: true`: messages that hold a chunk each, the last one `[DONE]`",
  openAi: true,
  guarded: true,
  handle: async (c, service, request) => {
    const { model } = service;
    if (request.model !== model.name) {
      throw new ApiError("not_found", `the model ${JSON.stringify(request.model)} does not exist`, {
        details: { field: "model" },
      });
    }
    const jobs = toJobs(model, request);
    const places = service.admission.admit(jobs.length);
    const ended = new AbortController();
    const signal = AbortSignal.any([c.get("signal"), ended.signal]);
    setMaxListeners(0, signal); // one for each job: not a leak
    const sources = jobs.map((job, i) =>
      service.inTurn(places[i]!, signal, (timer) => choice(model, service, request, job, timer, signal)),
    );
    const choices = merge(sources, ended);
    const head = completion(model);
    if (!request.stream) return c.json(await collect(head, choices, jobs, request));
    const first = await choices.next(); // what is wrong until here has its own status
    return eventStream(c, service, chunks(head, first, choices, jobs, request), (error) =>
      error.openAiBody(),
    );
  },
});

/** One continuation of one prompt. */
interface Job {
  readonly prompt: readonly number[];
  /** The first of its prompt's jobs, which counts its tokens. */
  readonly first: boolean;
  readonly choice: number;
  readonly seed: number;
}

function toJobs(model: Model, request: CompletionRequest): Job[] {
  return promptsOf(request.prompt).flatMap((prompt) => {
    const tokens = typeof prompt === "string" ? model.encode(prompt) : prompt;
    const seed = request.seed ?? Math.floor(Math.random() * 2 ** 32);
    return Array.from({ length: request.n }, (_, choice) => ({
      prompt: tokens,
      first: choice === 0,
      choice,
      seed,
    }));
  });
}

function promptsOf(prompt: CompletionRequest["prompt"]): readonly (string | number[])[] {
  if (typeof prompt === "string") return [prompt];
  return typeof prompt[0] === "number" ? [prompt as number[]] : (prompt as string[] | number[][]);
}

/** A part of a choice, as a chunk of a stream holds it, and how many tokens it stands for. */
interface Part {
  readonly text: string;
  readonly logprobs: Completion["choices"][number]["logprobs"];
  readonly finish_reason: Completion["choices"][number]["finish_reason"];
  readonly tokens: number;
}

async function* choice(
  model: Model,
  service: Service,
  request: CompletionRequest,
  { prompt, choice, seed }: Job,
  timer: GenerationTimer,
  signal: AbortSignal,
): AsyncGenerator<Part, void, undefined> {
  const wanted = request.logprobs ?? undefined;
  const writer = new LogprobsWriter(model);
  const write = (tokens: readonly { token: number; logprobs?: TokenLogprobs | undefined }[]) =>
    wanted === undefined ? null : writer.write(tokens);
  if (request.echo) {
    const scores = wanted === undefined ? [] : await model.score(prompt, wanted, { signal });
    const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(
      concatBytes(prompt.map((token) => model.tokenBytes(token))),
    );
    const scored = prompt.map((token, i) => ({ token, logprobs: scores[i - 1] }));
    yield { text, logprobs: write(scored), finish_reason: null, tokens: 0 };
  }
  if (request.max_tokens === 0) {
    yield { text: "", logprobs: write([]), finish_reason: "length", tokens: 0 };
    return;
  }
  const options = {
    maxTokens: request.max_tokens,
    temperature: request.temperature,
    topK: request.top_k,
    topP: request.top_p,
    repetitionPenalty: request.repetition_penalty,
    stopSequences: typeof request.stop === "string" ? [request.stop] : (request.stop ?? []),
    seed,
    choice,
    logprobs: wanted,
  };
  let told = 0;
  for await (const { text, token, logprobs, finish } of service.generate(
    model,
    { prompt, options },
    timer,
    signal,
  )) {
    if (!finish) {
      told++;
      yield { text, logprobs: write([{ token: token!, logprobs }]), finish_reason: null, tokens: 1 };
      continue;
    }
    const rest = finish.tokens
      .slice(told)
      .map((token, i) => ({ token, logprobs: finish.logprobs?.[told + i] }));
    const finish_reason = finish.reason === "max_tokens" ? "length" : "stop";
    yield { text, logprobs: write(rest), finish_reason, tokens: rest.length };
  }
}

const concatBytes = (parts: readonly Uint8Array[]): Uint8Array => Buffer.concat(parts);

const completion = (model: Model) => ({
  id: `cmpl-${randomUUID()}`,
  object: "text_completion" as const,
  created: Math.floor(Date.now() / 1000),
  model: model.name,
  system_fingerprint: `fp_${model.fingerprint.slice(0, 12)}`,
});

type Head = ReturnType<typeof completion>;
type Choices = AsyncGenerator<{ readonly index: number; readonly item: Part }, void, undefined>;

function usageOf(jobs: readonly Job[], completionTokens: number) {
  const promptTokens = jobs.reduce((sum, { first, prompt }) => sum + (first ? prompt.length : 0), 0);
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
  };
}

async function collect(
  head: Head,
  choices: Choices,
  jobs: readonly Job[],
  request: CompletionRequest,
): Promise<Completion> {
  const parts: Part[][] = jobs.map(() => []);
  for await (const { index, item } of choices) parts[index]!.push(item);
  return {
    ...head,
    choices: parts.map((own, index) => ({
      index,
      text: own.map(({ text }) => text).join(""),
      logprobs:
        typeof request.logprobs === "number"
          ? LogprobsWriter.join(own.map(({ logprobs }) => logprobs))
          : null,
      finish_reason: own.at(-1)?.finish_reason ?? null,
    })),
    usage: usageOf(
      jobs,
      parts.flat().reduce((sum, { tokens }) => sum + tokens, 0),
    ),
  };
}

async function* chunks(
  head: Head,
  first: Awaited<ReturnType<Choices["next"]>>,
  choices: Choices,
  jobs: readonly Job[],
  request: CompletionRequest,
): AsyncGenerator<ServerSentEvent> {
  const withUsage = request.stream_options?.include_usage === true;
  let tokens = 0;
  try {
    for (let next = first; !next.done; next = await choices.next()) {
      const { index, item } = next.value;
      tokens += item.tokens;
      const { tokens: _, ...part } = item;
      // Text that is held back comes with a later token; a chunk that says nothing is left out.
      if (!part.text && !part.logprobs && part.finish_reason === null) continue;
      yield { data: { ...head, choices: [{ index, ...part }], ...(withUsage ? { usage: null } : {}) } };
    }
    if (withUsage) yield { data: { ...head, choices: [], usage: usageOf(jobs, tokens) } };
    yield { data: "[DONE]" };
  } finally {
    await choices.return();
  }
}
