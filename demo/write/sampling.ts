import { signal } from "@preact/signals";
import { samplingOptions } from "../../engine/sampling-options.ts";
import type { Sampling } from "../engine/protocol.ts";

/** A setting of the sampler, as its control shows it. Sliders end before the widest of the library's ranges. */
export interface Setting {
  readonly name: keyof Sampling;
  readonly label: string;
  readonly hint: string;
  readonly min: number;
  readonly max: number;
  readonly step: number;
  readonly value: number;
}

const limits = (name: Exclude<keyof Sampling, "seed">) => {
  const { least: min, most: max, default: value } = samplingOptions[name];
  return { min, max, value };
};

export const SETTINGS: readonly Setting[] = [
  {
    name: "maxTokens",
    label: "Most tokens",
    hint: "It ends after so many",
    ...limits("maxTokens"),
    max: 5000,
    step: 1,
    value: 200,
  },
  {
    name: "temperature",
    label: "Temperature",
    hint: "0 takes the likeliest token",
    ...limits("temperature"),
    step: 0.05,
  },
  {
    name: "topK",
    label: "Top k",
    hint: "Of the k likeliest, 0 of all",
    ...limits("topK"),
    max: 200,
    step: 1,
  },
  {
    name: "topP",
    label: "Top p",
    hint: "Of the likeliest that reach p",
    ...limits("topP"),
    step: 0.01,
  },
  {
    name: "repetitionPenalty",
    label: "Repetition penalty",
    hint: "1 is none",
    ...limits("repetitionPenalty"),
    step: 0.05,
  },
  {
    name: "phaseTemperature",
    label: "Phase temperature",
    hint: "Hotter where phases disagree, 0 is off",
    ...limits("phaseTemperature"),
    max: 5,
    step: 0.1,
  },
];

/** The largest seed. */
export const MOST_SEED = samplingOptions.seed.most;

/** What the page calls the options of a generation. */
export const OPTION_NAMES: ReadonlyMap<string, string> = new Map([
  ["prompt", "The text"],
  ["seed", "Seed"],
  ...SETTINGS.map(({ name, label }) => [name, label] as const),
]);

/** The sampler's settings, one for all sessions. */
export class Controls {
  readonly values = Object.fromEntries(SETTINGS.map(({ name, value }) => [name, signal(value)])) as Record<
    Exclude<keyof Sampling, "seed">,
    ReturnType<typeof signal<number>>
  >;
  /** As typed; empty means a random seed, or the stream's own. */
  readonly seed = signal("");

  /** @throws RangeError if the typed seed is not one */
  sampling(): Sampling {
    const numbers = Object.fromEntries(
      Object.entries(this.values).map(([name, { value }]) => [name, value]),
    ) as unknown as Omit<Sampling, "seed">;
    const typed = this.seed.peek().trim();
    if (typed === "") return { ...numbers, seed: undefined };
    const seed = /^\d+$/.test(typed) ? Number(typed) : Number.NaN;
    if (!(seed <= MOST_SEED)) throw new RangeError(`The seed is a whole number from 0 to ${MOST_SEED}`);
    return { ...numbers, seed };
  }

  reset(): void {
    for (const { name, value } of SETTINGS) this.values[name as keyof Controls["values"]].value = value;
    this.seed.value = "";
  }
}
