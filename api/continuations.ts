import { randomUUID } from "node:crypto";
import { setMaxListeners } from "node:events";
import type { Model } from "../engine/model.ts";
import type { Logprobs } from "../kernels/logprobs/logprobs.ts";
import type { ApiContext } from "./context.ts";
import { ApiError } from "./errors.ts";
import { merge } from "./merge.ts";
import type { FinishReason, GenerationRequest } from "./schemas/openai.ts";
import { type Usage, usageOf } from "./schemas/usage.ts";
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

/** A piece of a choice, and how many generated tokens it stands for. */
export interface ChoicePart<L> {
  readonly text: string;
  /** In the endpoint's words; null where nobody asked. */
  readonly logprobs: L | null;
  readonly finish_reason: FinishReason;
  readonly tokens: number;
  /** With the last part: the log-probability of all its tokens, in nats, where log-probabilities were asked for. */
  readonly logprob: number;
  /** With the last part: tokens of the prompt that others' were. */
  readonly reused: number;
}

/** What a continuation is generated with. */
export interface GenerationContext {
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
  readonly whole: (index: number, parts: readonly ChoicePart<L>[]) => object;
  /**
   * A part as the choices of chunks, one each, the `first` of its choice or not. None where it says nothing: text that is
   * held back comes with a later token.
   */
  readonly chunks: (index: number, part: ChoicePart<L>, first: boolean) => readonly object[];
}

/** The served model. @throws ApiError `not_found` where the request names another */
export function modelOf(service: Service, { model: name }: GenerationRequest): Model {
  const { model } = service;
  if (name === model.name) return model;
  throw new ApiError("not_found", `the model ${JSON.stringify(name)} does not exist`, {
    details: { field: "model" },
  });
}

/** `n` continuations of each prompt, or more. */
export function continuationsOf(
  prompts: readonly (readonly number[])[],
  { n, seed: given }: Pick<GenerationRequest, "n" | "seed">,
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
  { model, service, timer, signal, client }: GenerationContext,
  request: GenerationRequest,
  { prompt, choice, seed }: Continuation,
  more: { readonly maxTokens: number; readonly logprobs: number | undefined; readonly eosIds?: number[] },
  write: (tokens: readonly ScoredToken[]) => L | null,
): AsyncGenerator<ChoicePart<L>, void, undefined> {
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
      yield choicePart({ text, logprobs: write([{ token: token!, logprobs }]), tokens: 1 });
      continue;
    }
    const rest = finish.tokens
      .slice(told)
      .map((token, i) => ({ token, logprobs: finish.logprobs?.[told + i] }));
    yield choicePart({
      text,
      logprobs: write(rest),
      finish_reason: finish.reason === "length" ? "length" : "stop",
      tokens: rest.length,
      logprob: finish.logprobs?.reduce((sum, { logprob }) => sum + logprob, 0) ?? 0,
      reused: finish.reusedTokens,
    });
  }
}

/** A part with these fields; the others are as if there were nothing to say. */
export const choicePart = <L>(given: Partial<ChoicePart<L>>): ChoicePart<L> => ({
  text: "",
  logprobs: null,
  finish_reason: null,
  tokens: 0,
  logprob: 0,
  reused: 0,
  ...given,
});

/** Answers with a choice for each continuation, at once or as a stream. */
export async function answerWith<L>(
  c: ApiContext,
  service: Service,
  model: Model,
  request: GenerationRequest,
  continuations: readonly Continuation[],
  wording: Wording<L>,
  generate: (
    continuation: Continuation,
    context: GenerationContext,
  ) => AsyncGenerator<ChoicePart<L>, void, undefined>,
): Promise<Response> {
  const tickets = service.admission.admit(c.get("client"), continuations.length);
  const ended = new AbortController();
  const client = c.get("client");
  const signal = AbortSignal.any([c.get("signal"), ended.signal]);
  setMaxListeners(0, signal); // one for each continuation: not a leak
  const sources = continuations.map((continuation, i) =>
    service.inTurn(tickets[i]!, signal, (timer) =>
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
  if (!request.stream) return c.json(await collect(head, parts, continuations, request.n, wording));
  const first = await parts.next(); // what is wrong until here has its own status
  const withUsage = request.stream_options?.include_usage === true;
  return eventStream(c, service, chunks(head, first, parts, continuations, wording, withUsage), (error) =>
    error.openAiBody(),
  );
}

type ChoiceParts<L> = AsyncGenerator<
  { readonly index: number; readonly item: ChoicePart<L> },
  void,
  undefined
>;

/** Counts what the parts of all continuations took; each prompt once. */
class UsageMeter {
  readonly #continuations: readonly Continuation[];
  #completion = 0;
  #cached = 0;

  constructor(continuations: readonly Continuation[]) {
    this.#continuations = continuations;
  }

  add(index: number, { tokens, reused }: ChoicePart<unknown>): void {
    this.#completion += tokens;
    if (this.#continuations[index]!.first) this.#cached += reused;
  }

  get usage(): Usage {
    const prompts = this.#continuations.filter(({ first }) => first).map(({ prompt }) => prompt.length);
    const prompt = prompts.reduce((sum, length) => sum + length, 0);
    return usageOf(prompt, this.#completion, this.#cached);
  }
}

async function collect<L>(
  head: object,
  parts: ChoiceParts<L>,
  continuations: readonly Continuation[],
  n: number,
  wording: Wording<L>,
): Promise<object> {
  const meter = new UsageMeter(continuations);
  const own: ChoicePart<L>[][] = continuations.map(() => []);
  for await (const { index, item } of parts) {
    own[index]!.push(item);
    meter.add(index, item);
  }
  const given = own
    .filter((_, index) => continuations[index]!.first)
    .flatMap((_, prompt, { length }) => {
      const count = own.length / length;
      return best(own.slice(prompt * count, (prompt + 1) * count), n);
    });
  return {
    ...head,
    object: wording.object,
    choices: given.map((parts, index) => wording.whole(index, parts)),
    usage: meter.usage,
  };
}

/** The `n` likeliest of one prompt's continuations by token, the likeliest first; as they are, if `n` are all. */
function best<L>(continuations: readonly ChoicePart<L>[][], n: number): readonly ChoicePart<L>[][] {
  if (continuations.length === n) return continuations;
  const mean = (parts: readonly ChoicePart<L>[]): number =>
    (parts.at(-1)?.logprob ?? 0) /
    Math.max(
      1,
      parts.reduce((sum, { tokens }) => sum + tokens, 0),
    );
  return [...continuations].sort((a, b) => mean(b) - mean(a)).slice(0, n);
}

async function* chunks<L>(
  head: object,
  first: Awaited<ReturnType<ChoiceParts<L>["next"]>>,
  parts: ChoiceParts<L>,
  continuations: readonly Continuation[],
  wording: Wording<L>,
  withUsage: boolean,
): AsyncGenerator<ServerSentEvent> {
  const chunk = { ...head, object: wording.chunk };
  const begun = new Set<number>();
  const meter = new UsageMeter(continuations);
  try {
    for (let next = first; !next.done; next = await parts.next()) {
      const { index, item } = next.value;
      meter.add(index, item);
      for (const choice of wording.chunks(index, item, !begun.has(index))) {
        yield { data: { ...chunk, choices: [choice], ...(withUsage ? { usage: null } : {}) } };
      }
      begun.add(index);
    }
    if (withUsage) yield { data: { ...chunk, choices: [], usage: meter.usage } };
    yield { data: "[DONE]" };
  } finally {
    await parts.return();
  }
}

/** The text of a choice, and why it ended. */
export const joined = (parts: readonly ChoicePart<unknown>[]) => ({
  text: parts.map(({ text }) => text).join(""),
  finish_reason: parts.at(-1)?.finish_reason ?? null,
});
