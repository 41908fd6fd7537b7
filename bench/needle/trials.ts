import { ResonantError } from "../../common/errors.ts";
import type { Random } from "../random.ts";
import { type DamageName, damage, isOfText } from "./damage.ts";
import { type NeedleSize, occurrencesOf, type Source } from "./data.ts";
import type { Needle } from "./searcher.ts";

/** The state of a needle: unchanged (`none`), damaged, or absent from the context. */
export type Condition = "none" | DamageName | "absent";

/** A needle to search for, and its positions. */
export interface Cue extends Needle {
  readonly size: NeedleSize;
  readonly condition: Condition;
  /** Positions at which the undamaged needle occurs, ascending; empty if it is absent. */
  readonly occurrences: readonly number[];
}

/** A context and all needles to search for in it. */
export interface Haystack {
  readonly context: Uint32Array;
  readonly cues: readonly Cue[];
}

/** The trials for one context length. */
export interface TrialPlan {
  /** Tokens per context. */
  readonly length: number;
  /** Number of needles of each size and condition. */
  readonly trials: number;
  readonly sizes: readonly NeedleSize[];
  readonly damages: readonly DamageName[];
}

/** Up to this length, in tokens, every trial has its own context. */
const OWN_CONTEXT = 8192;
/** Number of trials that share a longer context. */
const TRIALS_PER_CONTEXT = 25;

/** Returns the number of contexts that a plan needs. */
export const contextCount = ({ length, trials }: TrialPlan): number =>
  length <= OWN_CONTEXT ? trials : Math.ceil(trials / TRIALS_PER_CONTEXT);

/** Returns the conditions that apply to a source's needles. */
export const conditionsOf = (source: Source, damages: readonly DamageName[]): Condition[] => [
  "none",
  ...damages.filter((name) => source.vocabulary.text !== undefined || !isOfText(name)),
  "absent",
];

/**
 * Yields the contexts of a plan. For each size, a trial has a needle at a uniform position, the same needle with each damage,
 * and a needle that is absent.
 * @throws ResonantError `invalid_argument` if no needle of a size can be drawn
 */
export async function* haystacks(source: Source, plan: TrialPlan, random: Random): AsyncGenerator<Haystack> {
  const count = contextCount(plan);
  for (let i = 0; i < count; i++) {
    const context = source.context(plan.length, random);
    const from = Math.floor((i * plan.trials) / count);
    const to = Math.floor(((i + 1) * plan.trials) / count);
    const cues: Cue[] = [];
    for (let each = from; each < to; each++) {
      for (const size of plan.sizes) cues.push(...(await trial(source, context, size, plan.damages, random)));
    }
    yield { context, cues };
  }
}

async function trial(
  source: Source,
  context: Uint32Array,
  size: NeedleSize,
  damages: readonly DamageName[],
  random: Random,
): Promise<Cue[]> {
  const conditions = conditionsOf(source, damages);
  const present = await draw(size, async () => {
    const needle = await source.present(context, size, random);
    if (!needle) return undefined;
    const occurrences = occurrencesOf(needle, context);
    const cues: Cue[] = [];
    for (const condition of conditions) {
      if (condition === "absent") continue;
      const tokens =
        condition === "none" ? needle : await damage(condition, needle, random, source.vocabulary);
      if (tokens) cues.push({ size, condition, tokens, occurrences });
    }
    // Reject a needle if one of the damages is impossible, so that all conditions use the same needles.
    return cues.length === conditions.length - 1 ? cues : undefined;
  });
  const absent = await draw(size, async () => {
    const needle = await source.absent(size, random);
    return needle && occurrencesOf(needle, context).length === 0 ? needle : undefined;
  });
  return [...present, { size, condition: "absent", tokens: absent, occurrences: [] }];
}

async function draw<T>(size: NeedleSize, attempt: () => Promise<T | undefined>): Promise<T> {
  for (let tries = 0; tries < 2000; tries++) {
    const drawn = await attempt();
    if (drawn !== undefined) return drawn;
  }
  throw new ResonantError("invalid_argument", `no needle of ${size.name} can be drawn`, {
    fix: "Take longer contexts, a longer text, shorter needles or fewer damages",
  });
}
