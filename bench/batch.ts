import type { Model } from "../engine/model.ts";
import { type DecodeBenchOptions, inTurns, type Row, SETTINGS, timed } from "./decode.ts";

export interface BatchBenchOptions extends Pick<DecodeBenchOptions, "tokens" | "rounds" | "onProgress"> {
  /** How many streams decode at once, for each figure. */
  readonly streams: readonly number[];
}

/**
 * What decoding many streams at once gives, in tokens a second of all of them together and of one of them; each figure is
 * the median of its rounds.
 * @throws ResonantError `out_of_memory` where the model has fewer slots
 */
export async function batchBench(model: Model, options: BatchBenchOptions): Promise<Row[]> {
  const { streams, tokens, rounds, onProgress } = options;
  const times = await inTurns(
    streams.map((count) => () => decodeAtOnce(model, count, tokens)),
    rounds,
    onProgress,
  );
  const one = times[streams.indexOf(1)];
  return streams.flatMap((count, i) => {
    const time = times[i] ?? Number.NaN;
    const name = `${count} ${count === 1 ? "stream" : "streams"}`;
    const figures = [
      { name, value: 1000 / time, unit: "tokens/s" },
      { name: `${name}, each`, value: 1000 / time / count, unit: "tokens/s" },
    ];
    if (one === undefined || count === 1) return figures;
    return [...figures, { name: `${name} / 1 stream`, value: one / time, unit: "×" }];
  });
}

/** Milliseconds per token of all. */
async function decodeAtOnce(model: Model, count: number, tokens: number): Promise<number> {
  const streams = Array.from({ length: count }, () => model.open());
  try {
    return await timed(count * tokens, () =>
      Promise.all(
        streams.map(async (stream, seed) => {
          const sampling = { ...SETTINGS.sampling, seed };
          const options = { ...SETTINGS, sampling, runAhead: 8, maxTokens: tokens };
          for await (const _ of model.batch.decode(stream, [seed], options));
        }),
      ),
    );
  } finally {
    for (const stream of streams) stream.close();
  }
}
