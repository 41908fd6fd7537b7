import type { Model } from "../engine/model.ts";
import type { RetrievalMode } from "../engine/retrieval/resonance.ts";
import { Search } from "../engine/retrieval/search.ts";
import { inTurns, type Row, timed } from "./decode.ts";
import { seeded } from "./random.ts";

export interface RetrievalBenchOptions {
  readonly mode: RetrievalMode;
  /** Tokens of the two contexts that are compared. */
  readonly lengths: readonly [short: number, long: number];
  /** Tokens of the needle. */
  readonly needle: number;
  /** Rounds of each figure; medians are reported. */
  readonly rounds: number;
  readonly onProgress?: (done: number, total: number) => void;
}

/**
 * What a search for one needle costs in a short and in a long context of random tokens, told in one pass, and that it
 * finds it: times are of the pass alone, for a search is opened once whatever the context's length.
 */
export async function retrievalBench(model: Model, options: RetrievalBenchOptions): Promise<Row[]> {
  const { mode, lengths, rounds, onProgress } = options;
  const random = seeded(1);
  const found = new Map<number, { similarity: number; bytes: number; off: number }>();
  const cases = lengths.map((length) => {
    const context = Uint32Array.from({ length }, () => Math.floor(random() * model.config.vocabulary));
    const at = Math.floor(0.7 * (length - options.needle));
    const cue = [...context.subarray(at, at + options.needle)];
    return async (): Promise<number> => {
      const search = await Search.open(model, { cues: [cue], modes: [mode], capacity: 5 });
      try {
        const time = await timed(length, async () => {
          await search.push(context);
          await search.finish();
        });
        const { similarity, position } = search.peaks()[0]!.peak;
        found.set(length, { similarity, bytes: search.bytes, off: position - at });
        return time;
      } finally {
        search.close();
      }
    };
  });
  const [short = 0, long = 0] = await inTurns(cases, rounds, onProgress);
  const name = (length: number): string => `${length.toLocaleString("en")} tokens`;
  const [few, many] = lengths;
  return [
    { name: `${mode}: ${name(few)}`, value: 1000 / short, unit: "tokens/s" },
    { name: `${mode}: ${name(many)}`, value: 1000 / long, unit: "tokens/s" },
    { name: "time per token, long / short", value: long / short, unit: "×" },
    ...lengths.flatMap((length): Row[] => {
      const { similarity, bytes, off } = found.get(length)!;
      return [
        { name: `working memory, ${name(length)}`, value: bytes, unit: "bytes" },
        { name: `similarity of the first place, ${name(length)}`, value: similarity, unit: "" },
        { name: `its distance from the needle, ${name(length)}`, value: off, unit: "tokens" },
      ];
    }),
  ];
}
