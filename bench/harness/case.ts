import type { NativeConfig } from "../../engine/config.ts";
import type { DispatchTimer } from "../../engine/device/dispatch-timer.ts";
import type { Gpu } from "../../engine/device/gpu.ts";
import type { Model } from "../../engine/model.ts";
import type { ModelFigures, ModelRequest } from "../model-run.ts";
import type { GeometryName } from "../random-model.ts";
import type { Row } from "./row.ts";

/** Groups of cases, in the order of measurement. */
export const groups = ["ceilings", "gpu", "kernels", "native", "streams", "retrieval", "models"] as const;
export type Group = (typeof groups)[number];

/** The best that this device can do, as measured by the cases of the group `ceilings`. */
export interface Ceilings {
  /** Bytes that a large copy reads and writes per second. */
  bytesPerSecond: number;
  flopsPerSecond: number;
  /** Microseconds of a dispatch that does almost no work. */
  dispatch: number;
}

/** The device, models and settings that cases use. */
export interface Bench {
  readonly gpu: Gpu;
  readonly timer: DispatchTimer;
  readonly quick: boolean;
  /** Number of rounds per figure, unless a figure is taken only once. */
  readonly rounds: number;
  /** Minimum duration of a sample of GPU work, in milliseconds. */
  readonly sample: number;
  /** A number of bytes larger than the device's caches. */
  readonly uncached: number;
  /** Filled in by the cases of the group `ceilings`. */
  readonly ceilings: Partial<Ceilings>;
  /** The configuration of the default model. */
  readonly native: NativeConfig;
  /** Returns the default model, loaded once for all cases, with at least 32 slots. */
  model(): Promise<Model>;
  /** Returns a folder with a model of random weights, written once for all cases. */
  folder(geometry: GeometryName): Promise<string>;
  /** Returns a device without Dawn's checks, opened once for all cases. */
  unchecked(): Promise<Gpu>;
  /** Loads and runs a model in a separate process, because a process does not always return freed memory. */
  apart(request: ModelRequest): Promise<ModelFigures>;
}

/** A case that is ready to run. */
export interface OpenCase {
  /** @throws Error if a result is wrong; the case then fails, and is not timed */
  check(): Promise<void>;
  measure(): Promise<Row[]>;
  close?(): void;
}

export interface BenchCase {
  readonly group: Group;
  readonly name: string;
  /** Whether it runs only if it is named. */
  readonly onlyNamed?: boolean;
  open(bench: Bench): Promise<OpenCase> | OpenCase;
}

export interface GroupedRow extends Row {
  readonly group: Group;
}

/** A case that could not be opened, gave a wrong result, or threw an error. */
export interface Failure {
  readonly group: Group;
  readonly name: string;
  readonly message: string;
}

/** What is told while cases run. */
export interface CaseEvents {
  onProgress?(done: number, total: number, name: string): void;
  /** Called with the rows of each case, or its failure, as soon as they are there. */
  onCase?(of: Pick<BenchCase, "group" | "name">, rows: readonly GroupedRow[], failure?: Failure): void;
}

/** Checks and then times each case; continues with the others if one fails. */
export async function runCases(
  cases: readonly BenchCase[],
  bench: Bench,
  { onProgress, onCase }: CaseEvents = {},
): Promise<{ rows: GroupedRow[]; failures: Failure[] }> {
  const rows: GroupedRow[] = [];
  const failures: Failure[] = [];
  for (const [i, { group, name, open }] of cases.entries()) {
    onProgress?.(i, cases.length, fullName({ group, name }));
    let opened: OpenCase | undefined;
    try {
      opened = await open(bench);
      await opened.check();
      const measured = await opened.measure();
      await bench.gpu.settle();
      const odd = measured.find((row) => ![row.value, row.low, row.high].every(Number.isFinite));
      if (odd) throw new Error(`${odd.name}: ${odd.value} ${odd.unit} is not a measurement`);
      const grouped = measured.map((row) => ({ group, ...row }));
      rows.push(...grouped);
      onCase?.({ group, name }, grouped);
    } catch (error) {
      const failure = { group, name, message: error instanceof Error ? error.message : String(error) };
      failures.push(failure);
      onCase?.({ group, name }, [], failure);
      bench.gpu.assertAlive(); // on a lost device everything else would fail too
    } finally {
      opened?.close?.();
    }
  }
  onProgress?.(cases.length, cases.length, "");
  return { rows, failures };
}

/** A case's name as lists show it. */
export const fullName = ({ group, name }: Pick<BenchCase, "group" | "name">): string => `${group}: ${name}`;

/**
 * Returns the cases whose group equals a pattern or whose name contains one, or whose {@link fullName} a pattern is; all
 * cases that need not be named if there are no patterns.
 */
export function chosen(cases: readonly BenchCase[], patterns: readonly string[]): BenchCase[] {
  if (patterns.length === 0) return cases.filter(({ onlyNamed }) => !onlyNamed);
  const wanted = patterns.map((pattern) => pattern.toLowerCase());
  const isGroup = (pattern: string): boolean => groups.some((group) => group === pattern);
  const whole = new Set(cases.map((each) => fullName(each).toLowerCase()));
  return cases.filter((each) =>
    wanted.some((pattern) => {
      if (whole.has(pattern)) return fullName(each).toLowerCase() === pattern;
      return isGroup(pattern) ? each.group === pattern : each.name.toLowerCase().includes(pattern);
    }),
  );
}
