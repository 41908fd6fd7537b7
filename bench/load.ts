import type { Gpu } from "../engine/gpu.ts";
import { type LoadOptions, Model, type ModelFiles } from "../engine/model.ts";
import { onStream, SETTINGS, timed } from "./decode.ts";

/** What a model costs to load and to run, in one weight format. */
export interface LoadFigures {
  readonly format: string;
  readonly seconds: number;
  /** Bytes of the process when loading began, and the most while it lasted. */
  readonly residentBefore: number;
  readonly residentPeak: number;
  /** Most host bytes that loading took: beyond what the process had, and beyond buffers where they are host memory. */
  readonly hostPeak: number;
  /** Bytes of all buffers, room for a prompt and one stream included. */
  readonly gpuBytes: number;
  readonly promptTokensPerSecond: number;
  readonly decodeTokensPerSecond: number;
}

export interface LoadBenchOptions
  extends Pick<LoadOptions, "format" | "placement" | "attention" | "onProgress"> {
  /** Tokens of the timed prompt, and those decoded after it. */
  readonly prompt: number;
  readonly tokens: number;
}

/** How often memory is looked at, in milliseconds. */
const SAMPLE = 5;

/**
 * Loads a model and runs it for a little, a short run first to compile its kernels. On a software adapter buffers are
 * memory of the process, and taken off its peak.
 * @throws ResonantError as {@link Model.load} and its runs do
 */
export async function loadBench(
  gpu: Gpu,
  files: ModelFiles,
  { prompt, tokens, ...load }: LoadBenchOptions,
): Promise<LoadFigures> {
  const residentBefore = process.memoryUsage.rss();
  const gpuBefore = gpu.bytes;
  let residentPeak = residentBefore;
  let hostPeak = 0;
  const sample = (): void => {
    const resident = process.memoryUsage.rss();
    residentPeak = Math.max(residentPeak, resident);
    const buffers = gpu.kind === "cpu" ? gpu.bytes - gpuBefore : 0;
    hostPeak = Math.max(hostPeak, resident - residentBefore - buffers);
  };
  const sampler = setInterval(sample, SAMPLE);
  const start = performance.now();
  let model: Model;
  try {
    model = await Model.load(gpu, files, {
      ...load,
      slots: 1,
      onProgress: (...progress) => {
        sample();
        load.onProgress?.(...progress);
      },
    });
    await gpu.device.queue.onSubmittedWorkDone();
  } finally {
    clearInterval(sampler);
  }
  const seconds = (performance.now() - start) / 1000;
  const ids = Array.from({ length: prompt }, (_, i) => (i * 31 + 7) % model.config.vocabulary);
  const run = (length: number, steps: number) =>
    onStream(model, async (stream) => {
      const promptTime = await timed(length, async () => {
        const [step] = await model.runner.prompt(stream.slot, 0, ids.slice(0, length), SETTINGS).results;
        stream.position = length;
        stream.pending = step?.token ?? 0;
      });
      const stepTime = await timed(steps, async () => {
        for await (const _ of model.batch.decode(stream, [], {
          ...SETTINGS,
          runAhead: 0,
          maxTokens: steps,
        }));
      });
      return { promptTime, stepTime };
    });
  await run(Math.min(2, prompt), 1);
  const { promptTime, stepTime } = await run(prompt, tokens);
  return {
    format: model.format,
    seconds,
    residentBefore,
    residentPeak,
    hostPeak,
    gpuBytes: gpu.bytes - gpuBefore,
    promptTokensPerSecond: 1000 / promptTime,
    decodeTokensPerSecond: 1000 / stepTime,
  };
}
