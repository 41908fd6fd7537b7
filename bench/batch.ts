import type { Model } from "../engine/model.ts";
import type { BenchCase } from "./harness/case.ts";
import { more, type Row } from "./harness/row.ts";
import { divided, inTurns, timed } from "./harness/statistics.ts";
import { SETTINGS } from "./settings.ts";

export interface BatchBenchOptions {
  /** How many streams decode at once, for each figure. */
  readonly streams: readonly number[];
  /** Tokens of each stream. */
  readonly tokens: number;
  /** Rounds of each figure; medians are reported. */
  readonly rounds: number;
  readonly onProgress?: (done: number, total: number) => void;
}

/**
 * What decoding many streams at once gives, in tokens a second of all of them together and of one of them; each figure is
 * the median of its rounds.
 * @throws ResonantError `out_of_memory` where the model has fewer slots
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

/** Milliseconds per token of all, and what each stream said. */
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

/** Streams of the default model that decode at once. */
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
          throw new Error(`a stream says ${said[0]} beside 31 others, and ${alone[0]} alone`);
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
