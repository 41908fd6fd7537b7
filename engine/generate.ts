import { ResonantError } from "../common/errors.ts";
import type { Logprobs } from "../kernels/logprobs/logprobs.ts";
import { checkTokens } from "./check-tokens.ts";
import { type MemoryStats, MetricsMeter, type PhaseMetrics } from "./metrics.ts";
import type { ModelConfig } from "./network.ts";
import type { RunSettings } from "./runner/decode-run.ts";
import type { Runner } from "./runner/runner.ts";
import { checkSamplingOptions, samplingDefaults as defaults } from "./sampling-options.ts";
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
  /** 1 to 2. Default 1. */
  readonly repetitionPenalty?: number;
  /** λ ≥ 0 of phase-aware sampling. Default 0. */
  readonly phaseTemperature?: number;
  /**
   * λ, 0 to 100, of the calibrated readout's logit bias: logits += λ m W Eᵀ (SPEC §5), before all else. Above 0 the model needs
   * an alignment. Default 0.
   */
  readonly readoutScale?: number | undefined;
  /** Default: the stream's own if it has generated before, else a random one. */
  readonly seed?: number;
  readonly choice?: number;
  readonly stopSequences?: readonly string[];
  /** Tokens that end the text as the model's own do. */
  readonly eosIds?: readonly number[];
  /** Measure SPEC §4's metrics. Default false. */
  readonly metrics?: boolean;
  /**
   * Tell each token's log-probability, in nats and by the model's own logits (the readout's bias included; no penalty, no
   * temperature), and as many of the most likely tokens: 0 to 5. Default: none.
   */
  readonly logprobs?: number | undefined;
  /**
   * Tell with each piece what was measured when its token was drawn: the measures, and the stream's whole state. It costs a
   * copy of the state for each token. Default false.
   */
  readonly trace?: boolean;
  /** Told, with {@link trace}, the measures `[n, layers, 4]` of prompt tokens from a position on, but for the prompt's last. */
  readonly onPrompt?: RunSettings["onPrompt"];
  /** Keep held-back text and undecoded bytes in the stream, to be continued, instead of releasing them at the end. */
  readonly keepPending?: boolean;
  /** Steps computed ahead of the reader; 0 waits for every token. Default 8. */
  readonly runAhead?: number;
  /** Whose request it is: prompts of different clients are fed in turns, and share nothing. Default: everyone is one client. */
  readonly client?: unknown;
  readonly signal?: AbortSignal | undefined;
}

export type FinishReason = "length" | "eos" | "stop";

/** How a generation ended. */
export interface Finish {
  readonly reason: FinishReason;
  readonly stop: string | undefined;
  readonly promptTokens: number;
  /** Of them, those that were not fed, since others' with the same beginning were. */
  readonly reusedTokens: number;
  readonly tokens: readonly number[];
  /** One a token, one that ended the text included; undefined where nobody asked. */
  readonly logprobs: readonly Logprobs[] | undefined;
  readonly seed: number;
  readonly phase: PhaseMetrics | undefined;
  readonly memory: MemoryStats | undefined;
}

/** What was measured when a token was drawn. */
export interface Trace {
  /** Tokens fed until then. */
  readonly position: number;
  /** Of the last of them: `[layers, 4]` of R, lattice coherence, the gate's mean and the mean |m| (SPEC §4). */
  readonly measures: Float32Array;
  /** The stream's recurrent state, `[layers, rows, D]` as `stateShape` says. */
  readonly state: Float32Array;
}

/** Text as it becomes certain; the last piece carries how it ended. */
export interface Piece {
  readonly text: string;
  readonly token?: number;
  /** Of `token`, where {@link GenerateOptions.logprobs} asks for them. */
  readonly logprobs?: Logprobs | undefined;
  /** Where {@link GenerateOptions.trace} asks for it. */
  readonly trace?: Trace;
  readonly finish?: Finish;
}

/** What generating needs of a model. */
export interface GenerationModel {
  readonly config: ModelConfig;
  readonly weights: Weights;
  readonly runner: Pick<Runner, "biases" | "peek" | "streamBytes">;
  readonly scheduler: Pick<Scheduler, "decode">;
  encode(text: string): number[];
  tokenBytes(token: number): Uint8Array;
}

/**
 * Continues `stream` with `prompt` and generates. The stream is left right after the last token that was read.
 * @throws ResonantError `invalid_argument` naming the option; what `Scheduler.decode` throws
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
  const tokens = promptTokens(model, stream, prompt);
  const fresh = stream.position === 0 && stream.pending === undefined;
  const seed = o.seed ?? (fresh ? randomSeed() : stream.seed);
  const choice = o.choice ?? stream.choice;
  const sampling = {
    temperature: number("temperature"),
    topK: number("topK"),
    topP: number("topP"),
    repetitionPenalty: number("repetitionPenalty"),
    phaseTemperature: number("phaseTemperature"),
    seed,
    choice,
  };
  const measure = o.metrics === true || o.trace === true || sampling.phaseTemperature !== 0;
  const eosIds = new Set([...model.config.eosIds, ...(o.eosIds ?? [])]);
  const meter = new MetricsMeter(model.weights);
  const text = new TextStream(o.stopSequences, stream.text);
  const generated: number[] = [];
  const told: Logprobs[] = [];
  let reason: FinishReason = "length";
  let stop: string | undefined;
  const maxTokens = Math.min(number("maxTokens"), roomFor(model, stream, tokens));
  const { logprobs, readoutScale, client, signal } = o;
  let reusedTokens = 0;
  const onReuse = (count: number): void => {
    reusedTokens = count;
  };
  const settings = {
    sampling,
    measure,
    logprobs,
    readoutScale,
    maxTokens,
    runAhead: number("runAhead"),
    client,
    signal,
    onReuse,
    trace: o.trace,
    onPrompt: o.trace ? o.onPrompt : undefined,
  };
  for await (const step of model.scheduler.decode(stream, tokens, settings)) {
    Object.assign(stream, { seed, choice }); // no sooner: one stopped before its first token leaves no trace
    if (generated.length > 0) meter.add(step); // of the generated token that was fed; the first step fed the prompt
    generated.push(step.token);
    if (step.logprobs) told.push(step.logprobs);
    if (eosIds.has(step.token)) {
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
    meter.add(await model.runner.peek(stream.slot, stream.position, settings));
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

/** A generation read to its end: its whole text, and how it ended. */
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

function promptTokens(
  model: GenerationModel,
  stream: Stream,
  prompt: string | readonly number[],
): readonly number[] {
  const tokens = typeof prompt === "string" ? model.encode(prompt) : prompt;
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

/** Tokens that may be generated after the prompt; the last of them is not fed, and needs no position. */
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

/** A seed for those who give none; 32 bits, so that it is easily written down. */
const randomSeed = (): number => crypto.getRandomValues(new Uint32Array(1))[0] ?? 0;
