import type { Gpu } from "../engine/device/gpu.ts";
import { relativeError } from "../engine/goldens.ts";
import { type LoadOptions, Model, type ModelFiles } from "../engine/model.ts";
import type { RunSettings } from "../engine/runner/decode-run.ts";
import type { Stream } from "../engine/state/stream.ts";
import type { WeightFormat } from "../kernels/matrix.ts";
import { splitTime, type TimeSplit } from "./harness/split.ts";
import { type Summary, summarize, timed } from "./harness/statistics.ts";
import { GREEDY, promptOf, SETTINGS } from "./settings.ts";

/** Says how to measure a model in one weight format. */
export interface ModelRequest {
  /** Folder of the model; undefined for the default model. */
  readonly model?: string | undefined;
  readonly format: WeightFormat;
  /** Lengths of the timed prompts, in tokens; decoding starts after the first prompt. */
  readonly prompts: readonly number[];
  /** Number of tokens to decode. */
  readonly tokens: number;
  readonly rounds: number;
  /** Whether to feed the decoded tokens again as part of a prompt, and check that it predicts the same token. */
  readonly replay: boolean;
}

/** The time and memory that loading and running a model take, in one weight format. */
export interface ModelFigures {
  readonly format: WeightFormat;
  readonly seconds: number;
  /** Resident bytes of the process when loading began, and their maximum while loading. */
  readonly residentBefore: number;
  readonly residentPeak: number;
  /** Maximum of host bytes that loading added, not counting GPU buffers that are in host memory. */
  readonly hostPeak: number;
  /** Bytes of all GPU buffers before decoding, with those of a prompt and one stream, and after decoding. */
  readonly gpuBytes: number;
  readonly gpuBytesAfter: number;
  /** Resident bytes of the process at the end. */
  readonly resident: number;
  /** Milliseconds per token of each prompt, in the order of the request. */
  readonly prompts: readonly Summary[];
  /** Milliseconds per decoded token, always the most likely one. */
  readonly decode: Summary;
  /** The same with a temperature, top-k and top-p, as users sample. */
  readonly sampled: Summary;
  readonly dispatchesPerToken: number;
  /** Milliseconds per decoded token. */
  readonly spent: TimeSplit;
  /** The decoded tokens, and a sample of the logits after the first prompt, for comparing formats. */
  readonly decoded: readonly number[];
  readonly logits: readonly number[];
}

export type ModelRunOptions = Omit<ModelRequest, "model"> &
  Pick<LoadOptions, "placement" | "attention" | "onProgress">;

/** Milliseconds between two looks at the process's memory. */
const MEMORY_INTERVAL = 5;

/** Number of logits in the sample. */
const LOGIT_SAMPLE = 512;

/** Number of steps that decoding runs ahead of its reader. */
const RUN_AHEAD = 8;

/**
 * Loads a model and measures it. Compiles each kernel before timing, by running one workgroup of it. On a software adapter
 * buffers are memory of the process, so their bytes are subtracted from the peak.
 * @throws ResonantError as {@link Model.load} and its runs do
 * @throws Error if a replay predicts another token
 */
export async function runModel(gpu: Gpu, files: ModelFiles, options: ModelRunOptions): Promise<ModelFigures> {
  const { prompts, tokens, rounds, replay, format, ...load } = options;
  const gpuBefore = gpu.bytes;
  const memory = new MemoryPeak(gpu);
  const start = performance.now();
  let model: Model;
  try {
    const onProgress: LoadOptions["onProgress"] = (...progress) => {
      memory.look();
      load.onProgress?.(...progress);
    };
    model = await Model.load(gpu, files, { ...load, format, slots: 2, onProgress });
    await gpu.device.queue.onSubmittedWorkDone();
  } finally {
    memory.stop();
  }
  const seconds = (performance.now() - start) / 1000;
  await compile(model);

  const times = prompts.map((): number[] => []);
  const decodeTimes: number[] = [];
  const sampledTimes: number[] = [];
  let [gpuBytes, gpuBytesAfter] = [0, 0];
  let decoded: number[] = [];
  let logits: number[] = [];
  let spent: TimeSplit = { host: 0, gpu: undefined };
  for (let round = 0; round < rounds; round++) {
    for (const [i, length] of prompts.entries()) {
      await onStream(model, async (stream) => {
        times[i]?.push(await feed(model, stream, promptOf(length, model.config.vocabulary)));
        if (i > 0) return;
        logits = spread(await lastLogits(model));
        decoded = [stream.pending ?? 0];
        gpuBytes = gpu.bytes - gpuBefore;
        const work = async (): Promise<void> => {
          decodeTimes.push(
            await timed(tokens, async () => void decoded.push(...(await decode(model, stream, tokens)))),
          );
        };
        spent = await splitTime(gpu, model.runner, work);
        gpuBytesAfter = gpu.bytes - gpuBefore;
        if (round === 0) await decode(model, stream, 1, RUN_AHEAD, SETTINGS); // compiles
        sampledTimes.push(await timed(tokens, () => decode(model, stream, tokens, RUN_AHEAD, SETTINGS)));
      });
    }
  }
  if (replay) await assertReplayed(model, prompts[0] ?? 1, decoded);
  return {
    format,
    seconds,
    ...memory.figures,
    gpuBytes,
    gpuBytesAfter,
    resident: process.memoryUsage.rss(),
    prompts: times.map(summarize),
    decode: summarize(decodeTimes),
    sampled: summarize(sampledTimes),
    dispatchesPerToken: model.runner.dispatchesPerToken,
    spent: { host: spent.host / tokens, gpu: spent.gpu === undefined ? undefined : spent.gpu / tokens },
    decoded,
    logits,
  };
}

/** Opens a stream, passes it to `use`, and closes it. */
export async function onStream<T>(model: Model, use: (stream: Stream) => Promise<T>): Promise<T> {
  const stream = model.open();
  try {
    return await use(stream);
  } finally {
    stream.close();
  }
}

/** Feeds a prompt and returns its milliseconds per token; the next token is then pending. */
export function feed({ runner }: Model, stream: Stream, prompt: readonly number[]): Promise<number> {
  return timed(prompt.length, async () => {
    const [step] = await runner.prompt(stream.slot, stream.position, prompt, GREEDY_ALONE).results;
    stream.position += prompt.length;
    stream.pending = step?.token ?? 0;
  });
}

const GREEDY_ALONE = { ...GREEDY, logprobs: undefined };

/** Decodes after the pending token, by default greedily; returns the tokens. */
export async function decode(
  model: Model,
  stream: Stream,
  maxTokens: number,
  runAhead = RUN_AHEAD,
  settings: RunSettings = GREEDY_ALONE,
): Promise<number[]> {
  const tokens: number[] = [];
  const steps = model.scheduler.decode(stream, [], { ...settings, runAhead, maxTokens });
  for await (const { token } of steps) tokens.push(token);
  return tokens;
}

/** Returns the logits of the last step or prompt of a single stream. */
const lastLogits = ({ gpu, runner, config }: Model): Promise<Float32Array> =>
  gpu.readFloats(runner.stepActivations.logits, 0, config.vocabulary);

/** @throws Error unless `decoded` tokens, fed again as part of a prompt, give the same logits and next token */
export async function assertReplayed(
  model: Model,
  length: number,
  decoded: readonly number[],
): Promise<void> {
  const prompt = promptOf(length, model.config.vocabulary);
  // Compute the logits once step by step, and once with everything in one prompt.
  const stepped = await onStream(model, async (stream) => {
    await feed(model, stream, prompt);
    await decode(model, stream, decoded.length - 1, 0);
    return { token: stream.pending, logits: await lastLogits(model) };
  });
  const fed = await onStream(model, async (stream) => {
    await feed(model, stream, [...prompt, ...decoded.slice(0, -1)]);
    return { token: stream.pending, logits: await lastLogits(model) };
  });
  const error = relativeError(stepped.logits, fed.logits);
  if (!(error < 1e-5) || stepped.token !== decoded.at(-1) || fed.token !== decoded.at(-1)) {
    const said = `the last token is ${decoded.at(-1)} when decoded, ${stepped.token} step by step, ${fed.token} after one prompt`;
    throw new Error(`${said}; the logits differ by ${error}`);
  }
}

const spread = (logits: Float32Array): number[] => {
  if (!logits.every(Number.isFinite)) throw new Error("the logits are not all finite");
  const step = Math.max(1, Math.floor(logits.length / LOGIT_SAMPLE));
  return Array.from(logits.filter((_, i) => i % step === 0));
};

/** Runs one workgroup of each kernel of a prompt and of a step, so that the driver compiles them. */
async function compile(model: Model): Promise<void> {
  const { gpu, runner } = model;
  const { record } = gpu;
  gpu.record = (encoder, list, run) => {
    const alone = list.map((dispatch) => ({ ...dispatch, grid: () => [1, 1] as const }));
    record.call(gpu, encoder, alone, run);
  };
  try {
    await onStream(model, async ({ slot }) => {
      const runs = [
        runner.prompt(slot, 0, [0, 0], GREEDY_ALONE),
        runner.steps(slot, 2, 1, GREEDY_ALONE),
        runner.steps(slot, 3, 1, GREEDY_ALONE),
      ];
      await Promise.allSettled(runs.map(({ results }) => results)); // the results are meaningless
    });
  } finally {
    Reflect.deleteProperty(gpu, "record");
  }
  await gpu.device.queue.onSubmittedWorkDone();
  await gpu.settle();
}

/** Records the peak of the process's memory until it is stopped. */
class MemoryPeak {
  readonly #gpu: Gpu;
  readonly #gpuBefore: number;
  readonly #before = process.memoryUsage.rss();
  readonly #timer: NodeJS.Timeout;
  #peak = this.#before;
  #own = 0;

  constructor(gpu: Gpu) {
    this.#gpu = gpu;
    this.#gpuBefore = gpu.bytes;
    this.#timer = setInterval(() => this.look(), MEMORY_INTERVAL);
  }

  look(): void {
    const resident = process.memoryUsage.rss();
    this.#peak = Math.max(this.#peak, resident);
    const buffers = this.#gpu.kind === "software" ? this.#gpu.bytes - this.#gpuBefore : 0;
    this.#own = Math.max(this.#own, resident - this.#before - buffers);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  get figures(): Pick<ModelFigures, "residentBefore" | "residentPeak" | "hostPeak"> {
    return { residentBefore: this.#before, residentPeak: this.#peak, hostPeak: this.#own };
  }
}
