import { ResonantError } from "../../common/errors.ts";
import type { Random } from "../random.ts";
import { type DamageName, damage, isOfText } from "./damage.ts";
import { type NeedleSize, occurrencesOf, type Source } from "./data.ts";
import type { Needle } from "./searcher.ts";

/** What a needle is: as it stands in the context, damaged, or from elsewhere. */
export type Condition = "none" | DamageName | "absent";

/** A needle to look for, and where it is. */
export interface Cue extends Needle {
  readonly size: NeedleSize;
  readonly condition: Condition;
  /** First tokens of every place where the undamaged needle stands, ascending; none: it is absent. */
  readonly occurrences: readonly number[];
}

/** A context and all that is looked for in it. */
export interface Haystack {
  readonly context: Uint32Array;
  readonly cues: readonly Cue[];
}

export interface Plan {
  /** Tokens of a context. */
  readonly length: number;
  /** Needles of each size and condition. */
  readonly trials: number;
  readonly sizes: readonly NeedleSize[];
  readonly damages: readonly DamageName[];
}

/** Up to this length every trial has a context of its own. */
const OWN_CONTEXT = 8192;
/** Trials that share a longer one. */
const SHARED = 25;

/** Contexts that so many trials take. */
export const contextCount = ({ length, trials }: Plan): number =>
  length <= OWN_CONTEXT ? trials : Math.ceil(trials / SHARED);

/** The conditions that a source's needles are looked for under. */
export const conditionsOf = (source: Source, damages: readonly DamageName[]): Condition[] => [
  "none",
  ...damages.filter((name) => source.vocabulary.text !== undefined || !isOfText(name)),
  "absent",
];

/**
 * The contexts of a length. Each trial is, for each size, a needle at a uniform place, the same damaged in every way,
 * and one that is absent.
 * @throws ResonantError `invalid_argument` where no needle of a size can be drawn
 */
export function* haystacks(source: Source, plan: Plan, random: Random): Generator<Haystack> {
  const count = contextCount(plan);
  for (let i = 0; i < count; i++) {
    const context = source.context(plan.length, random);
    const from = Math.floor((i * plan.trials) / count);
    const to = Math.floor(((i + 1) * plan.trials) / count);
    const cues = Array.from({ length: to - from }, () =>
      plan.sizes.flatMap((size) => trial(source, context, size, plan.damages, random)),
    ).flat();
    yield { context, cues };
  }
}

function trial(
  source: Source,
  context: Uint32Array,
  size: NeedleSize,
  damages: readonly DamageName[],
  random: Random,
): Cue[] {
  const conditions = conditionsOf(source, damages);
  const present = draw(size, () => {
    const needle = source.present(context, size, random);
    if (!needle) return undefined;
    const occurrences = occurrencesOf(needle, context);
    const cues = conditions.flatMap((condition): Cue[] => {
      if (condition === "absent") return [];
      const tokens = condition === "none" ? needle : damage(condition, needle, random, source.vocabulary);
      return tokens ? [{ size, condition, tokens, occurrences }] : [];
    });
    // A needle that one of the damages cannot be done to is put back: rows are of the same needles.
    return cues.length === conditions.length - 1 ? cues : undefined;
  });
  const absent = draw(size, () => {
    const needle = source.absent(size, random);
    return needle && occurrencesOf(needle, context).length === 0 ? needle : undefined;
  });
  return [...present, { size, condition: "absent", tokens: absent, occurrences: [] }];
}

function draw<T>(size: NeedleSize, attempt: () => T | undefined): T {
  for (let tries = 0; tries < 2000; tries++) {
    const drawn = attempt();
    if (drawn !== undefined) return drawn;
  }
  throw new ResonantError("invalid_argument", `no needle of ${size.name} can be drawn`, {
    fix: "Take longer contexts, a longer text, shorter needles or fewer damages",
  });
}
