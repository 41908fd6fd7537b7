import { macrotask } from "../../common/macrotask.ts";
import { seeded } from "../random.ts";
import type { DamageName } from "./damage.ts";
import type { NeedleSize, Source } from "./data.ts";
import { areaUnderRoc, distance, hitAt, mean, median } from "./measures.ts";
import type { Hit, Searcher } from "./searcher.ts";
import { type Condition, type Cue, conditionsOf, haystacks } from "./trials.ts";

/** Number of hits that a searcher is asked for. */
const TOP_K = 5;
/** Number of timed searches for a single needle. */
const TIMED = 3;
/** Contexts with at least this many tokens have fewer trials by default. */
const LONG = 1_000_000;

export const defaultTrials = (length: number): number => (length >= LONG ? 20 : 100);

/** A searcher's results for needles of one condition; `damaged` combines all damages. */
export interface ConditionResult {
  readonly condition: Condition | "damaged";
  readonly trials: number;
  /** Share of trials in which the first hit, or one of five, is within two tokens of an occurrence; NaN for `absent`. */
  readonly hit1: number;
  readonly hit5: number;
  /** Number of trials with any hit, and the distance of the first hit from the needle, in tokens; NaN for `absent`. */
  readonly found: number;
  readonly meanError: number;
  readonly medianError: number;
  /** Area under the ROC curve of these needles' confidence against that of absent needles; NaN for `absent`. */
  readonly auc: number;
  readonly medianConfidence: number;
  /** Lowest similarity of a first hit; NaN if there was no hit. */
  readonly leastSimilarity: number;
}

/** The results of one searcher for needles of one size in contexts of one length. */
export interface NeedleResult {
  readonly source: Source["name"];
  /** Tokens per context. */
  readonly length: number;
  readonly needle: string;
  readonly searcher: string;
  /** Whether this is the reference's protocol: 16 random tokens at a uniform position among 512. */
  readonly reference: boolean;
  /** Milliseconds of a search for one clean needle, median of three; `indexMs` is the preparation, done once per context. */
  readonly ms: number;
  readonly indexMs: number;
  readonly workingBytes: number;
  readonly rows: readonly ConditionResult[];
}

export interface NeedleOptions {
  /** Each source of contexts and needles, and its searchers. */
  readonly contests: readonly { readonly source: Source; readonly searchers: readonly Searcher[] }[];
  readonly lengths: readonly number[];
  readonly sizes: readonly NeedleSize[];
  readonly damages: readonly DamageName[];
  /** Trials per context length; default {@link defaultTrials}. */
  readonly trials?: number | undefined;
  /** The same seed gives the same contexts and needles. */
  readonly seed: number;
  /** Called with the work done and the total, both in token–needle pairs of all searchers. */
  readonly onProgress?: (done: number, total: number) => void;
}

/**
 * Runs the needle-in-a-haystack benchmark: measures how often, how exactly and how confidently each searcher finds needles at
 * uniform positions. Some needles are damaged or absent. All searchers get the same contexts and needles.
 * @throws ResonantError `invalid_argument` if a needle does not fit; also everything that a searcher throws
 */
export async function needleBenchmark(options: NeedleOptions): Promise<NeedleResult[]> {
  const { contests, lengths, sizes, damages, seed, onProgress } = options;
  const plans = lengths.map((length) => ({
    length,
    sizes,
    damages,
    trials: options.trials ?? defaultTrials(length),
  }));
  const cost = (source: Source, length: number, trials: number): number =>
    length * (trials * conditionsOf(source, damages).length + TIMED) * sizes.length;
  const total = contests.reduce(
    (sum, { source, searchers }) =>
      sum +
      searchers.length * plans.reduce((all, { length, trials }) => all + cost(source, length, trials), 0),
    0,
  );
  let done = 0;
  const advance = (pairs: number): void => {
    done += pairs;
    onProgress?.(done, total);
  };
  onProgress?.(0, total);

  const results: NeedleResult[] = [];
  for (const { source, searchers } of contests) {
    for (const plan of plans) {
      // The seed depends on the length, so that a result does not depend on which other lengths are measured.
      const random = seeded(Math.imul(seed + 1, 0x9e3779b1) ^ plan.length);
      const outcomes = searchers.map((): Outcome[] => []);
      let last: { context: Uint32Array; cues: readonly Cue[] } | undefined;
      for await (const haystack of haystacks(source, plan, random)) {
        last = haystack;
        const { context, cues } = haystack;
        for (const [i, searcher] of searchers.entries()) {
          const { hits } = await searcher.search(context, cues, TOP_K);
          outcomes[i]!.push(...cues.map((cue, at) => ({ cue, hits: hits[at] ?? [] })));
          advance(context.length * cues.length);
          await macrotask();
        }
      }
      for (const size of sizes) {
        const cue = last?.cues.find((each) => each.size === size && each.condition === "none");
        for (const [i, searcher] of searchers.entries()) {
          const costs = last && cue ? await timed(searcher, last.context, cue) : nothing;
          advance(TIMED * plan.length);
          const own = outcomes[i]!.filter((outcome) => outcome.cue.size === size);
          results.push({
            source: source.name,
            length: plan.length,
            needle: size.name,
            searcher: searcher.name,
            reference: source.name === "random" && plan.length === 512 && size.name === "16",
            ...costs,
            rows: resultsOf(own, conditionsOf(source, damages)),
          });
        }
      }
    }
  }
  return results;
}

/** The hits of one searcher for one cue. */
interface Outcome {
  readonly cue: Cue;
  readonly hits: readonly Hit[];
}

const nothing = { ms: Number.NaN, indexMs: Number.NaN, workingBytes: Number.NaN };

async function timed(searcher: Searcher, context: Uint32Array, { tokens }: Cue): Promise<typeof nothing> {
  const runs: (typeof nothing)[] = [];
  for (let i = 0; i < TIMED; i++) {
    // Copy the arrays: data that a searcher cached for the earlier ones must not help.
    const { ms, indexMs = 0, workingBytes } = await searcher.search(context.slice(), [{ tokens }], TOP_K);
    runs.push({ ms, indexMs, workingBytes });
  }
  return {
    ms: median(runs.map((run) => run.ms)),
    indexMs: median(runs.map((run) => run.indexMs)),
    workingBytes: median(runs.map((run) => run.workingBytes)),
  };
}

function resultsOf(outcomes: readonly Outcome[], conditions: readonly Condition[]): ConditionResult[] {
  const of = (condition: Condition): Outcome[] => outcomes.filter(({ cue }) => cue.condition === condition);
  const absent = of("absent");
  const damaged = outcomes.filter(({ cue }) => cue.condition !== "none" && cue.condition !== "absent");
  return conditions.flatMap((condition): ConditionResult[] => {
    if (condition !== "absent") return [resultOf(condition, of(condition), absent)];
    const pooled = damaged.length > 0 ? [resultOf("damaged" as const, damaged, absent)] : [];
    const none = { hit1: Number.NaN, hit5: Number.NaN, meanError: Number.NaN, medianError: Number.NaN };
    return [...pooled, { ...resultOf("absent", absent, absent), ...none, auc: Number.NaN }];
  });
}

/** Returns the first hit's confidence; 0 if there is no hit. */
const confidenceOf = ({ hits }: Outcome): number => hits[0]?.confidence ?? 0;

function resultOf(
  condition: ConditionResult["condition"],
  outcomes: readonly Outcome[],
  absent: readonly Outcome[],
): ConditionResult {
  const share = (k: number): number =>
    mean(outcomes.map(({ cue, hits }) => Number(hitAt(k, hits, cue.occurrences))));
  const errors = outcomes.flatMap(({ cue, hits }) =>
    hits[0] ? [distance(hits[0].position, cue.occurrences)] : [],
  );
  const confidences = outcomes.map(confidenceOf);
  return {
    condition,
    trials: outcomes.length,
    hit1: share(1),
    hit5: share(5),
    found: errors.length,
    meanError: mean(errors),
    medianError: median(errors),
    auc: areaUnderRoc(confidences, absent.map(confidenceOf)),
    medianConfidence: median(confidences),
    leastSimilarity: least(outcomes.flatMap(({ hits }) => hits[0]?.similarity ?? [])),
  };
}

const least = (values: readonly number[]): number => (values.length > 0 ? Math.min(...values) : Number.NaN);
