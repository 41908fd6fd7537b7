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
  return streams.flatMap((count, i) => {
    const perSecond = 1000 / (times[i] ?? Number.NaN);
    const name = `${count} ${count === 1 ? "stream" : "streams"}`;
    return [
      { name, value: perSecond, unit: "tokens/s" },
      { name: `${name}, each`, value: perSecond / count, unit: "tokens/s" },
    ];
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
