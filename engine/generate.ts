import { ResonantError } from "../common/errors.ts";
import type { Logprobs } from "../kernels/logprobs/logprobs.ts";
import { checkTokens } from "./check-tokens.ts";
import { type MemoryStats, MetricsMeter, type PhaseMetrics } from "./metrics.ts";
import type { ModelConfig } from "./network.ts";
import type { RunSettings } from "./runner/decode-run.ts";
import type { Runner } from "./runner/runner.ts";
import { checkLogitBias, checkSamplingOptions, samplingDefaults as defaults } from "./sampling-options.ts";
import type { Scheduler } from "./scheduler/scheduler.ts";
import type { Stream } from "./state/stream.ts";
import { TextStream } from "./text/text-stream.ts";
import type { Weights } from "./weights.ts";

/** Ranges and defaults of numbers: see `samplingOptions`. */
export interface GenerateOptions {
  /** At least 1. Default 100. */
  readonly maxTokens?: number;
  /** 0 (argmax) to 2. Default 0.7. */
  readonly temperature?: number;
  /** 0: off. Default 50. */
  readonly topK?: number;
  /** 0 to 1. Default 0.95. */
  readonly topP?: number;
  /** 0 to 1: only tokens at least this share as likely as the likeliest. Default 0: all. */
  readonly minP?: number;
  /** 1 to 2. Default 1. */
  readonly repetitionPenalty?: number;
  /** −2 to 2, taken from the logit of each token that this text has so far; the prompt does not count. Default 0. */
  readonly presencePenalty?: number;
  /** −2 to 2, taken from a token's logit once for each time that this text has it so far. Default 0. */
  readonly frequencyPenalty?: number;
  /** −100 to 100 by token, added to its logit: −100 forbids it, 100 takes nothing else. At most 1024 tokens. Default: none. */
  readonly logitBias?: Readonly<Record<number, number>> | undefined;
  /** λ ≥ 0 of phase-aware sampling. Default 0. */
  readonly phaseTemperature?: number;
  /**
   * λ, 0 to 100, of the calibrated readout's logit bias: logits += λ m W Eᵀ (SPEC §5.6), before penalty and temperature. Above 0
   * the model needs an alignment. Default 0.
   */
  readonly readoutScale?: number | undefined;
  /** Default: the seed of the stream if it has generated before, else a random one. */
  readonly seed?: number;
  readonly choice?: number;
  readonly stopSequences?: readonly string[];
  /** Tokens that end the text, in addition to those of the model. */
  readonly eosIds?: readonly number[];
  /** Go on after tokens that end a text. Default false. */
  readonly ignoreEos?: boolean | undefined;
  /** Measure the metrics of SPEC §4.4. Default false. */
  readonly metrics?: boolean;
  /**
   * Report the log-probability of each token, and this many of the most likely tokens: 0 to 20. In nats, from the model's
   * logits with the readout's bias, before penalty and temperature. Default: neither.
   */
  readonly logprobs?: number | undefined;
  /**
   * Report a {@link Trace} with each piece: the measures, and the state of the stream. Copies the state for each token.
   * Default false.
   */
  readonly trace?: boolean;
  /** With {@link trace}, called with the measures `[n, layers, 4]` of prompt tokens from `position` on, without the last. */
  readonly onPrompt?: RunSettings["onPrompt"];
  /** Keep held-back text and undecoded bytes in the stream for its continuation, instead of releasing them at the end. */
  readonly keepPending?: boolean;
  /** The number of steps computed ahead of the reader; 0 waits for every token. Default 8. */
  readonly runAhead?: number;
  /** Identifies the client. Prompts of different clients are fed in turns and share nothing. Default: one client for all. */
  readonly client?: unknown;
  /**
   * Identifies the request of the client, equal (===) for all choices of one. A client's requests take turns, and then
   * the choices of one. Default: one request for all.
   */
  readonly request?: unknown;
  readonly signal?: AbortSignal | undefined;
}

export type FinishReason = "length" | "eos" | "stop";

/** How a generation ended. */
export interface Finish {
  readonly reason: FinishReason;
  readonly stop: string | undefined;
  readonly promptTokens: number;
  /** The prompt tokens that were not fed, because another prompt with the same prefix was. */
  readonly reusedTokens: number;
  readonly tokens: readonly number[];
  /** One per token, including a token that ended the text. Undefined if not requested. */
  readonly logprobs: readonly Logprobs[] | undefined;
  readonly seed: number;
  readonly phase: PhaseMetrics | undefined;
  readonly memory: MemoryStats | undefined;
}

/** The measures and the state of a stream when a token was drawn. */
export interface Trace {
  /** The number of tokens fed so far. */
  readonly position: number;
  /** `[layers, 4]`, of the last token fed: R, lattice coherence, gate mean, mean |m| (SPEC §4.4). */
  readonly measures: Float32Array;
  /** The recurrent state of the stream, `[layers, rows, D]` (see `stateShape`). */
  readonly state: Float32Array;
}

/** A piece of text that can no longer change. Only the last piece has `finish`. */
export interface Piece {
  readonly text: string;
  readonly token?: number;
  /** Those of `token`, if {@link GenerateOptions.logprobs} is set. */
  readonly logprobs?: Logprobs | undefined;
  /** Present if {@link GenerateOptions.trace} is set. */
  readonly trace?: Trace;
  readonly finish?: Finish;
}

/** The parts of a model that generation uses. */
export interface GenerationModel {
  readonly config: ModelConfig;
  readonly weights: Weights;
  readonly runner: Pick<Runner, "biases" | "peek" | "streamBytes">;
  readonly scheduler: Pick<Scheduler, "decode">;
  encode(text: string): Promise<number[]>;
  tokenBytes(token: number): Uint8Array;
}

/**
 * Feeds `prompt` to `stream` and generates text. Afterwards the stream is at the last token that was read.
 * @throws ResonantError `invalid_argument` naming the option; errors of `Scheduler.decode`
 */
export async function* generate(
  model: GenerationModel,
  stream: Stream,
  prompt: string | readonly number[],
  options: GenerateOptions = {},
): AsyncGenerator<Piece, void, undefined> {
  const o = options;
  checkSamplingOptions(o);
  const number = (option: keyof typeof defaults): number => o[option] ?? defaults[option];
  model.runner.biases(o.readoutScale);
  const tokens = await promptTokens(model, stream, prompt);
  const fresh = stream.position === 0 && stream.pending === undefined;
  const seed = o.seed ?? (fresh ? randomSeed() : stream.seed);
  const choice = o.choice ?? stream.choice;
  const sampling = {
    temperature: number("temperature"),
    topK: number("topK"),
    topP: number("topP"),
    minP: number("minP"),
    repetitionPenalty: number("repetitionPenalty"),
    phaseTemperature: number("phaseTemperature"),
    seed,
    choice,
  };
  const penalties = {
    presencePenalty: number("presencePenalty"),
    frequencyPenalty: number("frequencyPenalty"),
    logitBias: checkLogitBias(model.config.vocabulary, o.logitBias ?? {}),
  };
  const adjusts =
    penalties.presencePenalty !== 0 || penalties.frequencyPenalty !== 0 || penalties.logitBias.size > 0;
  const measure = o.metrics === true || o.trace === true || sampling.phaseTemperature !== 0;
  const eosIds = new Set([...model.config.eosIds, ...(o.eosIds ?? [])]);
  const meter = new MetricsMeter(model.weights);
  const text = new TextStream(o.stopSequences, stream.text);
  const generated: number[] = [];
  const told: Logprobs[] = [];
  let reason: FinishReason = "length";
  let stop: string | undefined;
  const maxTokens = Math.min(number("maxTokens"), roomFor(model, stream, tokens));
  const { logprobs, readoutScale, client, request, signal } = o;
  let reusedTokens = 0;
  const onReuse = (count: number): void => {
    reusedTokens = count;
  };
  const settings = {
    sampling,
    adjustment: adjusts ? penalties : undefined,
    measure,
    logprobs,
    readoutScale,
    maxTokens,
    runAhead: number("runAhead"),
    client,
    request,
    signal,
    onReuse,
    trace: o.trace,
    onPrompt: o.trace ? o.onPrompt : undefined,
  };
  for await (const step of model.scheduler.decode(stream, tokens, settings)) {
    Object.assign(stream, { seed, choice }); // not earlier: a generation stopped before its first token must not change the stream
    if (generated.length > 0) meter.add(step); // of the generated token that this step fed; the first step fed the prompt
    generated.push(step.token);
    if (step.logprobs) told.push(step.logprobs);
    if (eosIds.has(step.token) && !o.ignoreEos) {
      reason = "eos";
      break;
    }
    const released = text.push(model.tokenBytes(step.token));
    stream.text = text.pending;
    const { token, logprobs, measures, state } = step;
    const trace = measures && state && { position: stream.position, measures, state };
    yield { text: released.text, token, logprobs, ...(trace ? { trace } : {}) };
    if (released.stopped !== undefined) {
      reason = "stop";
      stop = released.stopped;
      break;
    }
  }
  let rest = "";
  if (reason !== "stop" && !(o.keepPending && reason === "length")) {
    const released = text.flush();
    rest = released.text;
    if (released.stopped !== undefined) [reason, stop] = ["stop", released.stopped];
    stream.text = { bytes: new Uint8Array(), text: "" };
  }
  const { positions } = model.config;
  if (o.metrics && stream.position < (positions ?? Number.POSITIVE_INFINITY))
    meter.add(await model.runner.peek(stream.place, stream.position, settings));
  yield {
    text: rest,
    finish: {
      reason,
      stop,
      promptTokens: tokens.length,
      reusedTokens,
      tokens: generated,
      logprobs: logprobs === undefined ? undefined : told,
      seed,
      phase: o.metrics ? meter.phase() : undefined,
      memory: o.metrics ? meter.memory(model.runner.streamBytes(stream.position)) : undefined,
    },
  };
}

/** Reads a generation to its end. Returns its whole text and how it ended. */
export async function collect(pieces: AsyncIterable<Piece>): Promise<Finish & { readonly text: string }> {
  let text = "";
  let finish: Finish | undefined;
  for await (const piece of pieces) {
    text += piece.text;
    finish = piece.finish;
  }
  if (!finish) throw new ResonantError("model", "the generation ended without a last piece");
  return { ...finish, text };
}

async function promptTokens(
  model: GenerationModel,
  stream: Stream,
  prompt: string | readonly number[],
): Promise<readonly number[]> {
  const tokens = typeof prompt === "string" ? await model.encode(prompt) : prompt;
  const fresh = stream.position === 0 && stream.pending === undefined;
  if (tokens.length === 0 && fresh) {
    if (model.config.bosId !== null) return [model.config.bosId];
    throw new ResonantError("invalid_argument", "it is empty, and there is no state to continue", {
      option: "prompt",
    });
  }
  checkTokens(model.config.vocabulary, tokens, "prompt");
  return tokens;
}

/** Returns how many tokens fit after the prompt. The last one is not fed, so it needs no position. */
function roomFor(model: GenerationModel, stream: Stream, prompt: readonly number[]): number {
  const { positions } = model.config;
  if (positions === null) return Number.POSITIVE_INFINITY;
  const held = stream.position + (stream.pending === undefined ? 0 : 1);
  if (held + prompt.length <= positions) return positions - held - prompt.length + 1;
  const before = held > 0 ? ` after the ${held} before it` : "";
  throw new ResonantError(
    "invalid_argument",
    `it has ${prompt.length} tokens${before}, but the model has ${positions} positions`,
    { option: "prompt" },
  );
}

/** Returns a random seed. It has only 32 bits, so that it is easy to write down. */
const randomSeed = (): number => crypto.getRandomValues(new Uint32Array(1))[0] ?? 0;
