import { randomUUID } from "node:crypto";
import type { Model } from "../engine/model.ts";
import { TokenOffsets } from "../engine/text/token-offsets.ts";
import type { Logprobs } from "../kernels/logprobs/logprobs.ts";
import type { ApiContext } from "./context.ts";
import { noModel } from "./errors.ts";
import type { Merged } from "./merge.ts";
import { characters } from "./schemas/fields.ts";
import type { GenerationRequest, OpenAiFinishReason } from "./schemas/openai.ts";
import { type Usage, usageOf } from "./schemas/usage.ts";
import type { Service } from "./service.ts";
import { eventStream, type ServerSentEvent } from "./sse.ts";
import type { GenerationTimer } from "./telemetry.ts";

// Shared by OpenAI's endpoints: generates the choices of an answer in parallel, and sends them as one body or in chunks.

/** One continuation of one prompt. */
export interface Continuation {
  readonly prompt: readonly number[];
  /** Whether this is the first continuation of its prompt. Only the first one counts the prompt's tokens. */
  readonly first: boolean;
  readonly choice: number;
  readonly seed: number;
}

/** A token, with its log-probabilities if they were requested. */
export interface ScoredToken {
  readonly token: number;
  readonly logprobs?: Logprobs | undefined;
}

/** A part of a choice, and the number of generated tokens in it. */
export interface ChoicePart<L> {
  readonly text: string;
  /** In the endpoint's format; null if they were not requested. */
  readonly logprobs: L | null;
  readonly finish_reason: OpenAiFinishReason;
  readonly tokens: number;
  /** In the last part: the sum of the log-probabilities of all tokens, in nats; 0 if they were not requested. */
  readonly logprob: number;
  /** In the last part: the number of prompt tokens that were taken from the prefix cache. */
  readonly reused: number;
}

/** Everything that is needed to generate a continuation. */
export interface GenerationContext {
  readonly model: Model;
  readonly service: Service;
  readonly timer: GenerationTimer;
  readonly signal: AbortSignal;
  readonly client: string;
}

/** The format of an endpoint's answer. */
export interface AnswerFormat<L> {
  /** Prefix of the answer's id. */
  readonly id: string;
  /** `object` of a complete answer. */
  readonly object: string;
  /** `object` of a chunk. */
  readonly chunk: string;
  /** Builds a choice of a complete answer from its parts. */
  readonly whole: (index: number, parts: readonly ChoicePart<L>[]) => object;
  /**
   * Converts a part into choices for chunks, one choice for each chunk. `first`: the part is the first of its choice.
   * Returns an empty list for a part without content: held-back text is sent with a later token.
   */
  readonly chunks: (index: number, part: ChoicePart<L>, first: boolean) => readonly object[];
}

/** Returns the served model. @throws ApiError `not_found` if the request names another model */
export function modelOf(service: Service, { model: name }: GenerationRequest): Model {
  const { model } = service;
  if (name === model.name) return model;
  throw noModel(name);
}

/** The continuations that a request asks for: `n` of each prompt, in the order of the prompts. They are made one by one. */
export class Continuations {
  readonly prompts: readonly (readonly number[])[];
  readonly #n: number;
  readonly #seeds: readonly number[];

  /** @param more.seed of all continuations; without one, those of a prompt have a random seed in common */
  constructor(prompts: readonly (readonly number[])[], { n, seed }: Pick<GenerationRequest, "n" | "seed">) {
    this.prompts = prompts;
    this.#n = n;
    this.#seeds = prompts.map(() => (seed == null || seed < 0 ? Math.floor(Math.random() * 2 ** 32) : seed));
  }

  get count(): number {
    return this.prompts.length * this.#n;
  }

  at(index: number): Continuation {
    const prompt = Math.floor(index / this.#n);
    const choice = index % this.#n;
    return { prompt: this.prompts[prompt]!, first: choice === 0, choice, seed: this.#seeds[prompt]! };
  }

  /** Returns what belongs to each prompt, of a list with an item for each continuation. */
  byPrompt<T>(items: readonly T[]): T[][] {
    return this.prompts.map((_, prompt) => items.slice(prompt * this.#n, (prompt + 1) * this.#n));
  }
}

/**
 * Generates a continuation, part by part.
 * @param more.logprobs the number of most likely tokens to report at each step; undefined: no log-probabilities
 * @param write converts the log-probabilities of the next tokens to the endpoint's format
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
    minP: request.min_p,
    repetitionPenalty: request.repetition_penalty,
    presencePenalty: request.presence_penalty,
    frequencyPenalty: request.frequency_penalty,
    logitBias: request.logit_bias ?? {},
    ignoreEos: request.ignore_eos,
    stopSequences: typeof request.stop === "string" ? [request.stop] : (request.stop ?? []),
    seed,
    choice,
    ...more,
  };
  let sent = 0;
  const scored = new ScoredText(model);
  for await (const piece of service.generate(model, { prompt, options }, timer, signal, client)) {
    const { text, token, logprobs, finish } = piece;
    if (!finish) {
      sent++;
      scored.push({ token: token!, logprobs });
      const released = scored.released(text);
      yield choicePart({ text, logprobs: released.length > 0 ? write(released) : null, tokens: 1 });
      continue;
    }
    const rest = finish.tokens.slice(sent);
    rest.forEach((token, i) => {
      scored.push({ token, logprobs: finish.logprobs?.[sent + i] });
    });
    const last = scored.released(text);
    yield choicePart({
      text,
      logprobs: write(finish.reason === "stop" ? last : [...last, ...scored.rest()]),
      finish_reason: finish.reason === "length" ? "length" : "stop",
      tokens: rest.length,
      logprob: finish.logprobs?.reduce((sum, { logprob }) => sum + logprob, 0) ?? 0,
      reused: finish.reusedTokens,
    });
  }
}

/** Tokens that wait until their text is released, so that log-probabilities end where a text does that a stop string cuts. */
class ScoredText {
  readonly #model: Model;
  readonly #offsets = new TokenOffsets();
  #waiting: { readonly scored: ScoredToken; readonly begin: number }[] = [];
  #characters = 0;

  constructor(model: Model) {
    this.#model = model;
  }

  push(scored: ScoredToken): void {
    this.#waiting.push({ scored, begin: this.#offsets.next(this.#model.tokenBytes(scored.token)) });
  }

  /** Tokens that begin in the text as far as it is released, now with `text` too. */
  released(text: string): ScoredToken[] {
    this.#characters += characters(text);
    const count = this.#waiting.findLastIndex(({ begin }) => begin < this.#characters) + 1;
    return this.#waiting.splice(0, count).map(({ scored }) => scored);
  }

  /** All others. */
  rest(): ScoredToken[] {
    return this.#waiting.splice(0).map(({ scored }) => scored);
  }
}

/** Creates a part with the given fields; the other fields are empty. */
export const choicePart = <L>(given: Partial<ChoicePart<L>>): ChoicePart<L> => ({
  text: "",
  logprobs: null,
  finish_reason: null,
  tokens: 0,
  logprob: 0,
  reused: 0,
  ...given,
});

/** Answers with a choice for each continuation, in one body or as a stream. */
export async function answerWith<L>(
  c: ApiContext,
  service: Service,
  model: Model,
  request: GenerationRequest,
  continuations: Continuations,
  format: AnswerFormat<L>,
  generate: (
    continuation: Continuation,
    context: GenerationContext,
  ) => AsyncGenerator<ChoicePart<L>, void, undefined>,
): Promise<Response> {
  const { count } = continuations;
  const client = c.get("client");
  const parts = service.choices(client, c.get("signal"), count, (index, timer, signal) =>
    generate(continuations.at(index), { model, service, timer, signal, client }),
  );
  c.get("charge")(count - 1);
  const head = {
    id: `${format.id}-${randomUUID()}`,
    created: Math.floor(Date.now() / 1000),
    model: model.name,
    system_fingerprint: `fp_${model.fingerprint.slice(0, 12)}`,
  };
  if (!request.stream) return c.json(await collect(head, parts, continuations, request.n, format));
  const first = await parts.next(); // an error before the first part still has its own HTTP status
  const withUsage = request.stream_options?.include_usage === true;
  return eventStream(c, service, chunks(head, first, parts, continuations, format, withUsage), (error) =>
    error.openAiBody(),
  );
}

type ChoiceParts<L> = AsyncGenerator<Merged<ChoicePart<L>>, void, undefined>;

/** Counts the tokens of all continuations. Each prompt is counted once. */
class UsageMeter {
  readonly #continuations: Continuations;
  #completion = 0;
  #cached = 0;

  constructor(continuations: Continuations) {
    this.#continuations = continuations;
  }

  add(index: number, { tokens, reused }: ChoicePart<unknown>): void {
    this.#completion += tokens;
    if (this.#continuations.at(index).first) this.#cached += reused;
  }

  get usage(): Usage {
    const prompt = this.#continuations.prompts.reduce((sum, { length }) => sum + length, 0);
    return usageOf(prompt, this.#completion, this.#cached);
  }
}

async function collect<L>(
  head: object,
  parts: ChoiceParts<L>,
  continuations: Continuations,
  n: number,
  format: AnswerFormat<L>,
): Promise<object> {
  const meter = new UsageMeter(continuations);
  const own = Array.from({ length: continuations.count }, (): ChoicePart<L>[] => []);
  for await (const { index, item } of parts) {
    own[index]!.push(item);
    meter.add(index, item);
  }
  const given = continuations.byPrompt(own).flatMap((of) => best(of, n));
  return {
    ...head,
    object: format.object,
    choices: given.map((parts, index) => format.whole(index, parts)),
    usage: meter.usage,
  };
}

/** Returns the `n` continuations with the highest mean log-probability per token, best first; unsorted if all are returned. */
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
  continuations: Continuations,
  format: AnswerFormat<L>,
  withUsage: boolean,
): AsyncGenerator<ServerSentEvent> {
  const chunk = { ...head, object: format.chunk };
  const begun = new Set<number>();
  const meter = new UsageMeter(continuations);
  try {
    for (let next = first; !next.done; next = await parts.next()) {
      const { index, item } = next.value;
      meter.add(index, item);
      for (const choice of format.chunks(index, item, !begun.has(index))) {
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

/** Returns the whole text of a choice, and why it ended. */
export const joined = (parts: readonly ChoicePart<unknown>[]) => ({
  text: parts.map(({ text }) => text).join(""),
  finish_reason: parts.at(-1)?.finish_reason ?? null,
});
