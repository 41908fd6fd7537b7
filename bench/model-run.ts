import type { Gpu } from "../engine/device/gpu.ts";
import { relativeError } from "../engine/goldens.ts";
import { type LoadOptions, Model, type ModelFiles } from "../engine/model.ts";
import type { Stream } from "../engine/state/stream.ts";
import type { WeightFormat } from "../kernels/matrix.ts";
import { type Spent, splitTime } from "./harness/split.ts";
import { type Summary, summarize, timed } from "./harness/statistics.ts";
import { GREEDY, promptOf } from "./settings.ts";

/** What is asked of a model in one weight format. */
export interface ModelRequest {
  /** A folder; undefined: the default model. */
  readonly model?: string | undefined;
  readonly format: WeightFormat;
  /** Tokens of each timed prompt; what is decoded follows the first. */
  readonly prompts: readonly number[];
  /** Tokens decoded. */
  readonly tokens: number;
  readonly rounds: number;
  /** Feeds what was decoded again as part of a prompt, which must go on in the same way. */
  readonly replay: boolean;
}

/** What a model costs to load and to run, in one weight format. */
export interface ModelFigures {
  readonly format: WeightFormat;
  readonly seconds: number;
  /** Bytes of the process when loading began, and the most while it lasted. */
  readonly residentBefore: number;
  readonly residentPeak: number;
  /** Most host bytes that loading took: beyond what the process had, and beyond buffers where they are host memory. */
  readonly hostPeak: number;
  /** Bytes of all buffers before decoding, room for a prompt and one stream included, and after. */
  readonly gpuBytes: number;
  readonly gpuBytesAfter: number;
  /** Of the process, after everything. */
  readonly resident: number;
  /** Milliseconds a token of each prompt, in the order of the request. */
  readonly prompts: readonly Summary[];
  /** Milliseconds a decoded token. */
  readonly decode: Summary;
  readonly dispatchesPerToken: number;
  /** Milliseconds a decoded token. */
  readonly spent: Spent;
  /** The tokens decoded, and some of the logits after the first prompt, to compare formats by. */
  readonly decoded: readonly number[];
  readonly logits: readonly number[];
}

export type ModelRunOptions = Omit<ModelRequest, "model"> &
  Pick<LoadOptions, "placement" | "attention" | "onProgress">;

/** How often memory is looked at, in milliseconds. */
const SAMPLE = 5;

/** Logits that are told. */
const TOLD = 512;

/** Steps that decoding runs ahead of its reader. */
const RUN_AHEAD = 8;

/**
 * Loads a model and runs it. Its kernels are compiled first, by one workgroup of each. On a software adapter buffers are
 * memory of the process, and taken off its peak.
 * @throws ResonantError as {@link Model.load} and its runs do, `model` where a replay goes another way
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
  let [gpuBytes, gpuBytesAfter] = [0, 0];
  let decoded: number[] = [];
  let logits: number[] = [];
  let spent: Spent = { host: 0, gpu: undefined };
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
    dispatchesPerToken: model.runner.dispatchesPerToken,
    spent: { host: spent.host / tokens, gpu: spent.gpu === undefined ? undefined : spent.gpu / tokens },
    decoded,
    logits,
  };
}

/** Uses a stream of its own. */
export async function onStream<T>(model: Model, use: (stream: Stream) => Promise<T>): Promise<T> {
  const stream = model.open();
  try {
    return await use(stream);
  } finally {
    stream.close();
  }
}

/** Milliseconds a token of a prompt, whose next token is then pending. */
export function feed({ runner }: Model, stream: Stream, prompt: readonly number[]): Promise<number> {
  return timed(prompt.length, async () => {
    const [step] = await runner.prompt(stream.slot, stream.position, prompt, GREEDY_ALONE).results;
    stream.position += prompt.length;
    stream.pending = step?.token ?? 0;
  });
}

const GREEDY_ALONE = { ...GREEDY, logprobs: undefined };

/** The most likely tokens after the pending one. */
export async function decode(
  model: Model,
  stream: Stream,
  maxTokens: number,
  runAhead = RUN_AHEAD,
): Promise<number[]> {
  const tokens: number[] = [];
  const steps = model.scheduler.decode(stream, [], { ...GREEDY_ALONE, runAhead, maxTokens });
  for await (const { token } of steps) tokens.push(token);
  return tokens;
}

/** Of the last step or prompt, where it was one stream's. */
const lastLogits = ({ gpu, runner, config }: Model): Promise<Float32Array> =>
  gpu.readFloats(runner.stepActivations.logits, 0, config.vocabulary);

/** @throws Error where tokens that were decoded after a prompt are not those that a prompt with them in it gives */
export async function assertReplayed(
  model: Model,
  length: number,
  decoded: readonly number[],
): Promise<void> {
  const prompt = promptOf(length, model.config.vocabulary);
  // The decoded logits again, step by step, and then those of one prompt.
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
    const said = `decoding ${decoded.at(-1)}, by steps ${stepped.token}, as a prompt ${fed.token}`;
    throw new Error(`${said}: the logits differ by ${error}`);
  }
}

const spread = (logits: Float32Array): number[] => {
  if (!logits.every(Number.isFinite)) throw new Error("the logits are not all finite");
  const step = Math.max(1, Math.floor(logits.length / TOLD));
  return Array.from(logits.filter((_, i) => i % step === 0));
};

/** Runs one workgroup of each kernel of a prompt and of a step, after which drivers have compiled them. */
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
      await Promise.allSettled(runs.map(({ results }) => results)); // what they say means nothing
    });
  } finally {
    Reflect.deleteProperty(gpu, "record");
  }
  await gpu.device.queue.onSubmittedWorkDone();
  await gpu.settle();
}

/** Watches the process's memory until it is stopped. */
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
    this.#timer = setInterval(() => this.look(), SAMPLE);
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
