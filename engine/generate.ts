import { ResonantError } from "../common/errors.ts";
import { type Logprobs, TOP_LOGPROBS } from "../kernels/logprobs/logprobs.ts";
import { type MemoryStats, MetricsMeter, type PhaseMetrics } from "./metrics.ts";
import type { Model } from "./model.ts";
import type { RunSettings } from "./runner/decode-run.ts";
import type { Stream } from "./state/stream.ts";
import { TextStream } from "./text/text-stream.ts";

/** Defaults and ranges are the API contract's. */
export interface GenerateOptions {
  /** 1 to any number. Default 100. */
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

export type FinishReason = "max_tokens" | "eos_token" | "stop_sequence";

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

/**
 * Continues `stream` with `prompt` and generates. The stream is left right after the last token that was read.
 * @throws ResonantError `invalid_argument` naming the field; what `Scheduler.decode` throws
 */
export async function* generate(
  model: Model,
  stream: Stream,
  prompt: string | readonly number[],
  options: GenerateOptions = {},
): AsyncGenerator<Piece, void, undefined> {
  const o = checkOptions(options);
  model.runner.biases(o.readoutScale);
  const tokens = promptTokens(model, stream, prompt);
  const fresh = stream.position === 0 && stream.pending === undefined;
  const seed = o.seed ?? (fresh ? randomSeed() : stream.seed);
  const choice = o.choice ?? stream.choice;
  const sampling = {
    temperature: o.temperature ?? 0.7,
    topK: o.topK ?? 50,
    topP: o.topP ?? 0.95,
    repetitionPenalty: o.repetitionPenalty ?? 1,
    phaseTemperature: o.phaseTemperature ?? 0,
    seed,
    choice,
  };
  const measure = o.metrics === true || o.trace === true || sampling.phaseTemperature !== 0;
  const eosIds = new Set([...model.config.eosIds, ...(o.eosIds ?? [])]);
  const meter = new MetricsMeter(model.weights);
  const text = new TextStream(o.stopSequences, stream.text);
  const generated: number[] = [];
  const told: Logprobs[] = [];
  let reason: FinishReason = "max_tokens";
  let stop: string | undefined;
  const maxTokens = Math.min(o.maxTokens ?? 100, roomFor(model, stream, tokens));
  const { logprobs, readoutScale, runAhead = 8, client, signal } = o;
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
    runAhead,
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
      reason = "eos_token";
      break;
    }
    const released = text.push(model.tokenBytes(step.token));
    stream.text = text.pending;
    const { token, logprobs, measures, state } = step;
    const trace = measures && state && { position: stream.position, measures, state };
    yield { text: released.text, token, logprobs, ...(trace ? { trace } : {}) };
    if (released.stopped !== undefined) {
      reason = "stop_sequence";
      stop = released.stopped;
      break;
    }
  }
  let rest = "";
  if (reason !== "stop_sequence" && !(o.keepPending && reason === "max_tokens")) {
    const released = text.flush();
    rest = released.text;
    if (released.stopped !== undefined) [reason, stop] = ["stop_sequence", released.stopped];
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

function promptTokens(model: Model, stream: Stream, prompt: string | readonly number[]): readonly number[] {
  const tokens = typeof prompt === "string" ? model.encode(prompt) : prompt;
  const fresh = stream.position === 0 && stream.pending === undefined;
  if (tokens.length === 0 && fresh) {
    if (model.config.bosId !== null) return [model.config.bosId];
    throw new ResonantError("invalid_argument", "it is empty, and there is no state to continue", {
      where: "prompt",
    });
  }
  checkTokens(model.config.vocabulary, tokens);
  return tokens;
}

/** Tokens that may be generated after the prompt; the last of them is not fed, and needs no position. */
function roomFor(model: Model, stream: Stream, prompt: readonly number[]): number {
  const { positions } = model.config;
  if (positions === null) return Number.POSITIVE_INFINITY;
  const held = stream.position + (stream.pending === undefined ? 0 : 1);
  if (held + prompt.length <= positions) return positions - held - prompt.length + 1;
  const before = held > 0 ? ` after the ${held} before it` : "";
  throw new ResonantError(
    "invalid_argument",
    `it has ${prompt.length} tokens${before}, but the model has ${positions} positions`,
    { where: "prompt" },
  );
}

/** @throws ResonantError `invalid_argument` naming a token that is none of the `vocabulary` */
export function checkTokens(
  vocabulary: number,
  tokens: { find(is: (id: number) => boolean): number | undefined },
  where = "prompt",
): void {
  const bad = tokens.find((id) => !Number.isInteger(id) || id < 0 || id >= vocabulary);
  if (bad === undefined) return;
  throw new ResonantError("invalid_argument", `token ${bad} is not among the model's ${vocabulary}`, {
    where,
  });
}

/** A seed for those who give none; 32 bits, so that it is easily written down. */
const randomSeed = (): number => crypto.getRandomValues(new Uint32Array(1))[0] ?? 0;

/** Largest λ of a readout's logit bias. */
export const MOST_READOUT_SCALE = 100;

const ranges = {
  maxTokens: [1, Number.MAX_SAFE_INTEGER, true],
  temperature: [0, 2, false],
  topK: [0, 2 ** 31, true],
  topP: [0, 1, false],
  repetitionPenalty: [1, 2, false],
  phaseTemperature: [0, 100, false],
  readoutScale: [0, MOST_READOUT_SCALE, false],
  seed: [0, Number.MAX_SAFE_INTEGER, true],
  choice: [0, 2 ** 32 - 1, true],
  logprobs: [0, TOP_LOGPROBS, true],
  runAhead: [0, 1024, true],
} as const;

/** @throws ResonantError `invalid_argument` naming an option that is out of its range */
export function checkOptions(options: GenerateOptions): GenerateOptions {
  for (const [field, [least, most, whole]] of Object.entries(ranges)) {
    const value = options[field as keyof typeof ranges];
    if (value === undefined) continue;
    if (!(value >= least && value <= most) || (whole && !Number.isInteger(value))) {
      throw new ResonantError(
        "invalid_argument",
        `${value} is not ${whole ? "a whole number " : ""}from ${least} to ${most}`,
        { where: field },
      );
    }
  }
  return options;
}
