import { randomUUID } from "node:crypto";
import { setMaxListeners } from "node:events";
import type { Model } from "../engine/model.ts";
import type { Logprobs } from "../kernels/logprobs/logprobs.ts";
import { ApiError } from "./errors.ts";
import { merge } from "./merge.ts";
import type { ApiContext } from "./operation.ts";
import type { FinishReason, GenerationRequest, Usage } from "./schemas/openai.ts";
import type { Service } from "./service.ts";
import { eventStream, type ServerSentEvent } from "./sse.ts";
import type { GenerationTimer } from "./telemetry.ts";

// What OpenAI's endpoints do alike: the choices of an answer are generated beside each other, and told whole or in chunks.

/** One continuation of one prompt. */
export interface Continuation {
  readonly prompt: readonly number[];
  /** The first of its prompt's, which counts its tokens. */
  readonly first: boolean;
  readonly choice: number;
  readonly seed: number;
}

/** A token, with its log-probabilities where they were asked for. */
export interface ScoredToken {
  readonly token: number;
  readonly logprobs?: Logprobs | undefined;
}

/** A part of a choice, and how many generated tokens it stands for. */
export interface Part<L> {
  readonly text: string;
  /** In the endpoint's words; null where nobody asked. */
  readonly logprobs: L | null;
  readonly finish_reason: FinishReason;
  readonly tokens: number;
}

/** What a continuation is generated with. */
export interface Run {
  readonly model: Model;
  readonly service: Service;
  readonly timer: GenerationTimer;
  readonly signal: AbortSignal;
  readonly client: string;
}

/** How an endpoint words its answer. */
export interface Wording<L> {
  /** What its ids begin with. */
  readonly id: string;
  readonly object: string;
  readonly chunk: string;
  /** A choice of an answer, of its parts. */
  readonly whole: (index: number, parts: readonly Part<L>[]) => object;
  /**
   * A part as the choices of chunks, one each, the `first` of its choice or not. None where it says nothing: text that is
   * held back comes with a later token.
   */
  readonly chunks: (index: number, part: Part<L>, first: boolean) => readonly object[];
}

/** The served model. @throws ApiError `not_found` where the request names another */
export function modelOf(service: Service, { model: name }: GenerationRequest): Model {
  const { model } = service;
  if (name === model.name) return model;
  throw new ApiError("not_found", `the model ${JSON.stringify(name)} does not exist`, {
    details: { field: "model" },
  });
}

/** `n` continuations of each prompt. */
export function continuationsOf(
  prompts: readonly (readonly number[])[],
  { n, seed: given }: GenerationRequest,
): Continuation[] {
  return prompts.flatMap((prompt) => {
    const seed = given ?? Math.floor(Math.random() * 2 ** 32);
    return Array.from({ length: n }, (_, choice) => ({ prompt, first: choice === 0, choice, seed }));
  });
}

/**
 * Generates a continuation.
 * @param more.logprobs how many of the likeliest tokens are told; undefined: no log-probabilities
 * @param write words the log-probabilities of the text's next tokens
 */
export async function* generateParts<L>(
  { model, service, timer, signal, client }: Run,
  request: GenerationRequest,
  { prompt, choice, seed }: Continuation,
  more: { readonly maxTokens: number; readonly logprobs: number | undefined; readonly eosIds?: number[] },
  write: (tokens: readonly ScoredToken[]) => L | null,
): AsyncGenerator<Part<L>, void, undefined> {
  const options = {
    temperature: request.temperature,
    topK: request.top_k,
    topP: request.top_p,
    repetitionPenalty: request.repetition_penalty,
    stopSequences: typeof request.stop === "string" ? [request.stop] : (request.stop ?? []),
    seed,
    choice,
    ...more,
  };
  let told = 0;
  for await (const piece of service.generate(model, { prompt, options }, timer, signal, client)) {
    const { text, token, logprobs, finish } = piece;
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

/** Answers with a choice for each continuation, at once or as a stream. */
export async function answerWith<L>(
  c: ApiContext,
  service: Service,
  model: Model,
  request: GenerationRequest,
  continuations: readonly Continuation[],
  wording: Wording<L>,
  generate: (continuation: Continuation, run: Run) => AsyncGenerator<Part<L>, void, undefined>,
): Promise<Response> {
  const places = service.admission.admit(continuations.length);
  const ended = new AbortController();
  const client = c.get("client");
  const signal = AbortSignal.any([c.get("signal"), ended.signal]);
  setMaxListeners(0, signal); // one for each continuation: not a leak
  const sources = continuations.map((continuation, i) =>
    service.inTurn(places[i]!, signal, (timer) =>
      generate(continuation, { model, service, timer, signal, client }),
    ),
  );
  const parts = merge(sources, ended);
  const head = {
    id: `${wording.id}-${randomUUID()}`,
    created: Math.floor(Date.now() / 1000),
    model: model.name,
    system_fingerprint: `fp_${model.fingerprint.slice(0, 12)}`,
  };
  if (!request.stream) return c.json(await collect(head, parts, continuations, wording));
  const first = await parts.next(); // what is wrong until here has its own status
  const withUsage = request.stream_options?.include_usage === true;
  return eventStream(c, service, chunks(head, first, parts, continuations, wording, withUsage), (error) =>
    error.openAiBody(),
  );
}

type Parts<L> = AsyncGenerator<{ readonly index: number; readonly item: Part<L> }, void, undefined>;

function usageOf(continuations: readonly Continuation[], completionTokens: number): Usage {
  const promptTokens = continuations.reduce((sum, { first, prompt }) => sum + (first ? prompt.length : 0), 0);
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
  };
}

async function collect<L>(
  head: object,
  parts: Parts<L>,
  continuations: readonly Continuation[],
  wording: Wording<L>,
): Promise<object> {
  const own: Part<L>[][] = continuations.map(() => []);
  for await (const { index, item } of parts) own[index]!.push(item);
  const tokens = own.flat().reduce((sum, part) => sum + part.tokens, 0);
  return {
    ...head,
    object: wording.object,
    choices: own.map((parts, index) => wording.whole(index, parts)),
    usage: usageOf(continuations, tokens),
  };
}

async function* chunks<L>(
  head: object,
  first: Awaited<ReturnType<Parts<L>["next"]>>,
  parts: Parts<L>,
  continuations: readonly Continuation[],
  wording: Wording<L>,
  withUsage: boolean,
): AsyncGenerator<ServerSentEvent> {
  const chunk = { ...head, object: wording.chunk };
  const begun = new Set<number>();
  let tokens = 0;
  try {
    for (let next = first; !next.done; next = await parts.next()) {
      const { index, item } = next.value;
      tokens += item.tokens;
      for (const choice of wording.chunks(index, item, !begun.has(index))) {
        yield { data: { ...chunk, choices: [choice], ...(withUsage ? { usage: null } : {}) } };
      }
      begun.add(index);
    }
    if (withUsage) yield { data: { ...chunk, choices: [], usage: usageOf(continuations, tokens) } };
    yield { data: "[DONE]" };
  } finally {
    await parts.return();
  }
}

/** The text of a choice, and why it ended. */
export const joined = (parts: readonly Part<unknown>[]) => ({
  text: parts.map(({ text }) => text).join(""),
  finish_reason: parts.at(-1)?.finish_reason ?? null,
});
