import type { Summary } from "./statistics.ts";

/** What keeps a figure from being better: of the device's measured ceilings the one that it is nearest to. */
export const bounds = ["bandwidth", "arithmetic", "dispatch"] as const;
export type Bound = (typeof bounds)[number];

/** One figure of a benchmark. */
export interface Row {
  readonly name: string;
  /** The median of its rounds, `low` and `high` their quartiles; all the same where it is counted, or taken once. */
  readonly value: number;
  readonly low: number;
  readonly high: number;
  readonly unit: string;
  readonly better: "higher" | "lower";
  /** Of the ceiling that it is nearest to, 1 being all of it; above 1 where caches serve what the ceiling does not have. */
  readonly share?: number | undefined;
  readonly bound?: Bound | undefined;
  /** By the GPU's own clock, or by the host's, from a submission until it is done. */
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

/** A rate, or another figure of which more is better. */
export const more = row("higher");
/** A time, a size, or another figure of which less is better. */
export const less = row("lower");
