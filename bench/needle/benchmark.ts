import { macrotask } from "../../common/macrotask.ts";
import { seeded } from "../random.ts";
import type { DamageName } from "./damage.ts";
import type { NeedleSize, Source } from "./data.ts";
import { areaUnderRoc, distance, hitAt, mean, median } from "./measures.ts";
import type { Hit, Searcher } from "./searcher.ts";
import { type Condition, type Cue, conditionsOf, haystacks } from "./trials.ts";

/** Places that a searcher is asked for. */
const TOP_K = 5;
/** Single searches that are timed. */
const TIMED = 3;
/** From this many tokens on, trials are fewer unless told otherwise. */
const LONG = 1_000_000;

export const defaultTrials = (length: number): number => (length >= LONG ? 20 : 100);

/** How a searcher did with needles of one condition; `damaged` is of all damages together. */
export interface Row {
  readonly condition: Condition | "damaged";
  readonly trials: number;
  /** Share of trials in which the first place, or one of five, is within two tokens of an occurrence; NaN if absent. */
  readonly hit1: number;
  readonly hit5: number;
  /** Trials in which there was any place, and how far its first was off, in tokens; NaN if absent. */
  readonly found: number;
  readonly meanError: number;
  readonly medianError: number;
  /** Area under the ROC of these needles' confidence against that of the absent ones; NaN if absent. */
  readonly auc: number;
  readonly medianConfidence: number;
  /** The least similarity of a first place; NaN where there was none. */
  readonly leastSimilarity: number;
}

/** A searcher, needles of one size, contexts of one length. */
export interface Group {
  readonly source: Source["name"];
  /** Tokens of a context. */
  readonly length: number;
  readonly needle: string;
  readonly searcher: string;
  /** Whether it is the reference's protocol: 16 random tokens at a uniform place among 512. */
  readonly reference: boolean;
  /** Of a search for a single clean needle, the median of three; `indexMs` is what is done once for a context. */
  readonly ms: number;
  readonly indexMs: number;
  readonly workingBytes: number;
  readonly rows: readonly Row[];
}

export interface NeedleOptions {
  /** What is searched, and by whom. */
  readonly contests: readonly { readonly source: Source; readonly searchers: readonly Searcher[] }[];
  readonly lengths: readonly number[];
  readonly sizes: readonly NeedleSize[];
  readonly damages: readonly DamageName[];
  /** Default {@link defaultTrials}. */
  readonly trials?: number | undefined;
  /** The same seed gives the same contexts and needles. */
  readonly seed: number;
  /** Told how much is done, in token–needle pairs of all searchers. */
  readonly onProgress?: (done: number, total: number) => void;
}

/**
 * Needle in a haystack: needles at uniform places of contexts, damaged and absent ones too, and how often, how exactly
 * and how surely each searcher finds them. Searchers are given the same contexts and needles.
 * @throws ResonantError `invalid_argument` where a needle does not fit, and what the searchers throw
 */
export async function needleBenchmark(options: NeedleOptions): Promise<Group[]> {
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

  const groups: Group[] = [];
  for (const { source, searchers } of contests) {
    for (const plan of plans) {
      // Seeded by the length, so that a row is the same whatever other rows there are.
      const random = seeded(Math.imul(seed + 1, 0x9e3779b1) ^ plan.length);
      const outcomes = searchers.map((): Outcome[] => []);
      let last: { context: Uint32Array; cues: readonly Cue[] } | undefined;
      for (const haystack of haystacks(source, plan, random)) {
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
          groups.push({
            source: source.name,
            length: plan.length,
            needle: size.name,
            searcher: searcher.name,
            reference: source.name === "random" && plan.length === 512 && size.name === "16",
            ...costs,
            rows: rowsOf(own, conditionsOf(source, damages)),
          });
        }
      }
    }
  }
  return groups;
}

interface Outcome {
  readonly cue: Cue;
  readonly hits: readonly Hit[];
}

const nothing = { ms: Number.NaN, indexMs: Number.NaN, workingBytes: Number.NaN };

async function timed(searcher: Searcher, context: Uint32Array, { tokens }: Cue): Promise<typeof nothing> {
  const runs: (typeof nothing)[] = [];
  for (let i = 0; i < TIMED; i++) {
    // New arrays: what a searcher may have kept of those before must not help.
    const { ms, indexMs = 0, workingBytes } = await searcher.search(context.slice(), [{ tokens }], TOP_K);
    runs.push({ ms, indexMs, workingBytes });
  }
  return {
    ms: median(runs.map((run) => run.ms)),
    indexMs: median(runs.map((run) => run.indexMs)),
    workingBytes: median(runs.map((run) => run.workingBytes)),
  };
}

function rowsOf(outcomes: readonly Outcome[], conditions: readonly Condition[]): Row[] {
  const of = (condition: Condition): Outcome[] => outcomes.filter(({ cue }) => cue.condition === condition);
  const absent = of("absent");
  const damaged = outcomes.filter(({ cue }) => cue.condition !== "none" && cue.condition !== "absent");
  return conditions.flatMap((condition): Row[] => {
    if (condition !== "absent") return [rowOf(condition, of(condition), absent)];
    const pooled = damaged.length > 0 ? [rowOf("damaged" as const, damaged, absent)] : [];
    const none = { hit1: Number.NaN, hit5: Number.NaN, meanError: Number.NaN, medianError: Number.NaN };
    return [...pooled, { ...rowOf("absent", absent, absent), ...none, auc: Number.NaN }];
  });
}

/** Of no place at all it is 0. */
const confidenceOf = ({ hits }: Outcome): number => hits[0]?.confidence ?? 0;

function rowOf(condition: Row["condition"], outcomes: readonly Outcome[], absent: readonly Outcome[]): Row {
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
