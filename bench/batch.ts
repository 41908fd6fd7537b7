import type { Model } from "../engine/model.ts";
import type { BenchCase } from "./harness/case.ts";
import { more, type Row } from "./harness/row.ts";
import { divided, inTurns, timed } from "./harness/statistics.ts";
import { SETTINGS } from "./settings.ts";

export interface BatchBenchOptions {
  /** Numbers of streams that decode at once; each number gives its own figures. */
  readonly streams: readonly number[];
  /** Tokens that each stream decodes. */
  readonly tokens: number;
  /** Rounds per figure; the median of the rounds is reported. */
  readonly rounds: number;
  readonly onProgress?: (done: number, total: number) => void;
}

/**
 * Measures how fast many streams decode at once, in tokens per second: all streams together, and each of them. Each figure
 * is the median of its rounds.
 * @throws ResonantError `out_of_memory` if the model has too few slots
 */
export async function batchBench(model: Model, options: BatchBenchOptions): Promise<Row[]> {
  const { streams, tokens, rounds, onProgress } = options;
  const summaries = await inTurns(
    streams.map((count) => () => decodeAtOnce(model, count, tokens).then(({ time }) => time)),
    rounds,
    onProgress,
  );
  const one = summaries[streams.indexOf(1)];
  return streams.flatMap((count, i) => {
    const summary = summaries[i]!;
    const name = `${count} ${count === 1 ? "stream" : "streams"}`;
    const figures = [
      more(name, divided(1000, summary), "tokens/s"),
      more(`${name}, each`, divided(1000 / count, summary), "tokens/s"),
    ];
    if (one === undefined || count === 1) return figures;
    return [...figures, more(`${name} / 1 stream`, one.median / summary.median, "×")];
  });
}

/** Returns milliseconds per token, counting the tokens of all streams, and the tokens of each stream. */
async function decodeAtOnce(
  model: Model,
  count: number,
  tokens: number,
): Promise<{ time: number; said: number[][] }> {
  const streams = Array.from({ length: count }, () => model.open());
  const said = streams.map((): number[] => []);
  try {
    const time = await timed(count * tokens, () =>
      Promise.all(
        streams.map(async (stream, seed) => {
          const sampling = { ...SETTINGS.sampling, seed };
          const options = { ...SETTINGS, sampling, runAhead: 8, maxTokens: tokens };
          for await (const { token } of model.scheduler.decode(stream, [seed], options))
            said[seed]?.push(token);
        }),
      ),
    );
    return { time, said };
  } finally {
    for (const stream of streams) stream.close();
  }
}

/** Decodes several streams of the default model at once. */
export const batchCase: BenchCase = {
  group: "streams",
  name: "decode at once",
  async open(bench) {
    const model = await bench.model();
    return {
      async check() {
        const { said: alone } = await decodeAtOnce(model, 1, 16);
        const { said } = await decodeAtOnce(model, 32, 16);
        if (String(said[0]) !== String(alone[0])) {
          throw new Error(`a stream decodes ${said[0]} beside 31 others, but ${alone[0]} alone`);
        }
      },
      measure: () =>
        batchBench(model, {
          streams: [1, 4, 16, 32],
          tokens: bench.quick ? 32 : 64,
          rounds: bench.quick ? 1 : 3,
        }),
    };
  },
};
