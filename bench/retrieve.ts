import type { Model } from "../engine/model.ts";
import type { RetrievalMode } from "../engine/retrieval/retrieval-model.ts";
import { Search } from "../engine/retrieval/search.ts";
import type { BenchCase } from "./harness/case.ts";
import { less, more, type Row } from "./harness/row.ts";
import { divided, inTurns, timed } from "./harness/statistics.ts";
import { seeded } from "./random.ts";

export interface RetrievalBenchOptions {
  readonly mode: RetrievalMode;
  /** Lengths of the contexts to compare, in tokens. */
  readonly lengths: readonly number[];
  /** Length of the needle, in tokens. */
  readonly needle: number;
  /** Rounds per figure; the median of the rounds is reported. */
  readonly rounds: number;
  readonly onProgress?: (done: number, total: number) => void;
}

interface SearchFigures {
  /** Milliseconds per token. */
  readonly time: number;
  readonly similarity: number;
  readonly bytes: number;
  /** Tokens from the needle to the best match. */
  readonly off: number;
}

/**
 * Measures a search for one needle in contexts of random tokens: its speed, its memory, and whether it finds the needle.
 * Times the pass over the context only, because opening a search does not depend on the context's length.
 */
export async function retrievalBench(model: Model, options: RetrievalBenchOptions): Promise<Row[]> {
  const { mode, lengths, needle, rounds, onProgress } = options;
  const found = new Map<number, SearchFigures>();
  const searches = lengths.map((length) => haystack(model, mode, length, needle));
  const summaries = await inTurns(
    searches.map((search, i) => async () => {
      const result = await search();
      found.set(lengths[i]!, result);
      return result.time;
    }),
    rounds,
    onProgress,
  );
  const name = (length: number): string => `${length.toLocaleString("en")} tokens`;
  const [short, long] = summaries;
  return [
    ...summaries.map((summary, i) =>
      more(`${mode}: ${name(lengths[i]!)}`, divided(1000, summary), "tokens/s"),
    ),
    ...(short && long ? [less("time per token, long / short", long.median / short.median, "×")] : []),
    ...lengths.flatMap((length): Row[] => {
      const { similarity, bytes, off } = found.get(length)!;
      return [
        less(`working memory, ${name(length)}`, bytes, "bytes"),
        more(`similarity of the first place, ${name(length)}`, similarity, ""),
        less(`its distance from the needle, ${name(length)}`, Math.abs(off), "tokens"),
      ];
    }),
  ];
}

/** Prepares a search of random tokens for a needle that is taken from them. */
function haystack(
  model: Model,
  mode: RetrievalMode,
  length: number,
  needle: number,
): () => Promise<SearchFigures> {
  const random = seeded(1);
  const context = Uint32Array.from({ length }, () => Math.floor(random() * model.config.vocabulary));
  const at = Math.floor(0.7 * (length - needle));
  const cue = [...context.subarray(at, at + needle)];
  return async () => {
    const search = await Search.open(model, { cues: [cue], modes: [mode], capacity: 5 });
    try {
      const time = await timed(length, async () => {
        await search.push(context);
        await search.finish();
      });
      const { similarity, position } = search.peaks()[0]!.peak;
      return { time, similarity, bytes: search.bytes, off: position - at };
    } finally {
      search.close();
    }
  };
}

/** Searches 8,192 tokens for a needle of 48 tokens. */
export const retrievalCase: BenchCase = {
  group: "retrieval",
  name: "search",
  async open(bench) {
    const model = await bench.model();
    const [mode, length, needle] = ["hybrid", 8192, 48] as const;
    return {
      async check() {
        const { off } = await haystack(model, mode, length, needle)();
        if (off !== 0) throw new Error(`the needle was found ${off} tokens off`);
      },
      measure: () => retrievalBench(model, { mode, lengths: [length], needle, rounds: bench.rounds }),
    };
  },
};
