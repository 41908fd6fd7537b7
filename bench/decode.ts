import type { Model } from "../engine/model.ts";
import type { Stream } from "../engine/stream.ts";

/** One figure of a benchmark. */
export interface Row {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
}

export interface DecodeBenchOptions {
  /** Tokens of each timed generation. */
  readonly tokens: number;
  /** Tokens of the timed prompt. */
  readonly prompt: number;
  /** Rounds of each figure; medians are reported. */
  readonly rounds: number;
  readonly onProgress?: (done: number, total: number) => void;
}

/** Plain sampling, nothing measured. */
export const SETTINGS = {
  measure: false,
  sampling: {
    temperature: 0.8,
    topK: 50,
    topP: 0.95,
    repetitionPenalty: 1,
    phaseTemperature: 0,
    seed: 1,
    choice: 0,
  },
};

/**
 * What decoding and prompts cost, side by side on one adapter. What is compared is timed in turns, so that a change in
 * the machine's load meets both; each figure is the median of its rounds.
 */
export async function decodeBench(model: Model, options: DecodeBenchOptions): Promise<Row[]> {
  const { runner } = model;
  const { tokens, rounds, onProgress } = options;
  const prompt = Array.from({ length: options.prompt }, (_, i) => (i * 31 + 7) % model.config.vocabulary);
  const decodeTokens = (runAhead: number, position: number) => (): Promise<number> =>
    onStream(model, async (stream) => {
      stream.position = position;
      stream.pending = 0;
      const steps = model.batch.decode(stream, [], { ...SETTINGS, runAhead, maxTokens: tokens });
      return timed(tokens, async () => {
        for await (const _ of steps);
      });
    });
  const scanPrompt = (): Promise<number> =>
    onStream(model, ({ slot }) =>
      timed(prompt.length, () => runner.prompt(slot, 0, prompt, SETTINGS).results),
    );
  const stepPrompt = (): Promise<number> =>
    onStream(model, ({ slot }) =>
      timed(prompt.length, () => {
        for (const [position, token] of prompt.entries()) runner.step(slot, position, token);
        return model.gpu.device.queue.onSubmittedWorkDone();
      }),
    );
  const times = await inTurns(
    [
      decodeTokens(16, 0),
      decodeTokens(0, 0),
      decodeTokens(16, 1_000),
      decodeTokens(16, 65_000),
      scanPrompt,
      stepPrompt,
    ],
    rounds,
    onProgress,
  );
  const [ahead = 0, waiting = 0, early = 0, late = 0, scan = 0, step = 0] = times;
  const perSecond = (milliseconds: number): number => 1000 / milliseconds;
  return [
    { name: "decode with run-ahead", value: perSecond(ahead), unit: "tokens/s" },
    { name: "decode with a wait per token", value: perSecond(waiting), unit: "tokens/s" },
    { name: "run-ahead / waiting", value: waiting / ahead, unit: "×" },
    { name: `prompt of ${prompt.length} by scan`, value: perSecond(scan), unit: "tokens/s" },
    { name: `prompt of ${prompt.length} token by token`, value: perSecond(step), unit: "tokens/s" },
    { name: "scan / token by token", value: step / scan, unit: "×" },
    { name: "a token at position 1,000", value: early, unit: "ms" },
    { name: "a token at position 65,000", value: late, unit: "ms" },
    { name: "position 65,000 / position 1,000", value: late / early, unit: "×" },
    { name: "dispatches per token", value: runner.dispatchesPerToken, unit: "" },
  ];
}

/** Milliseconds per item of what `work` does with `items`. */
export async function timed(items: number, work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return (performance.now() - start) / items;
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

/** The median of each case's rounds, one round of every case after another; the first round warms up and is not counted. */
export async function inTurns(
  cases: readonly (() => Promise<number>)[],
  rounds: number,
  onProgress: DecodeBenchOptions["onProgress"],
): Promise<number[]> {
  const times: number[][] = cases.map(() => []);
  for (let round = 0; round <= rounds; round++) {
    for (const [i, run] of cases.entries()) {
      const time = await run();
      if (round > 0) times[i]?.push(time);
      onProgress?.(round * cases.length + i + 1, (rounds + 1) * cases.length);
    }
  }
  return times.map((values) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN);
}
