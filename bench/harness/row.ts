import type { Summary } from "./statistics.ts";

/** The measured ceiling nearest to a figure, which limits it. */
export const bounds = ["bandwidth", "arithmetic", "dispatch"] as const;
export type Bound = (typeof bounds)[number];

/** One figure of a benchmark. */
export interface Row {
  readonly name: string;
  /** Median of the rounds; `low` and `high` are the quartiles. All three are equal if the figure is counted or taken once. */
  readonly value: number;
  readonly low: number;
  readonly high: number;
  readonly unit: string;
  readonly better: "higher" | "lower";
  /** Fraction of the nearest ceiling that is reached; above 1 if caches help this figure but not the ceiling. */
  readonly share?: number | undefined;
  readonly bound?: Bound | undefined;
  /** Whether the time is from the GPU's timestamps, or from the host's clock between submission and completion. */
  readonly timed?: "gpu" | "host" | undefined;
  readonly bytesPerSecond?: number | undefined;
  readonly flopsPerSecond?: number | undefined;
}

type More = Pick<Row, "share" | "bound" | "timed" | "bytesPerSecond" | "flopsPerSecond">;

const row =
  (better: Row["better"]) =>
  (name: string, figure: Summary | number, unit: string, more: More = {}): Row => {
    const { median, low, high } =
      typeof figure === "number" ? { median: figure, low: figure, high: figure } : figure;
    return { name, value: median, low, high, unit, better, ...more };
  };

/** Creates the row of a rate, or of another figure for which higher is better. */
export const more = row("higher");
/** Creates the row of a time or size, or of another figure for which lower is better. */
export const less = row("lower");
