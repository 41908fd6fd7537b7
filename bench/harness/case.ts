import type { NativeConfig } from "../../engine/config.ts";
import type { Gpu } from "../../engine/device/gpu.ts";
import type { Model } from "../../engine/model.ts";
import type { ModelFigures, ModelRequest } from "../model-run.ts";
import type { GeometryName } from "../random-model.ts";
import type { Row } from "./row.ts";
import type { DispatchTimer } from "./timer.ts";

/** What is measured, in the order in which it is. */
export const groups = ["ceilings", "kernels", "native", "streams", "retrieval", "models"] as const;
export type Group = (typeof groups)[number];

/** What this device can do at best, as the ceilings' cases found. */
export interface Ceilings {
  /** Of a large copy, read and written together. */
  bytesPerSecond: number;
  flopsPerSecond: number;
  /** Microseconds of a dispatch that does next to nothing. */
  dispatch: number;
}

/** What cases measure on, and how thoroughly. */
export interface Bench {
  readonly gpu: Gpu;
  readonly timer: DispatchTimer;
  readonly quick: boolean;
  /** Rounds of each figure that is not said to be taken once. */
  readonly rounds: number;
  /** Milliseconds that a sample of GPU work takes at least. */
  readonly sample: number;
  /** Bytes beyond what the device's caches hold. */
  readonly uncached: number;
  /** Known once the ceilings' cases have been measured. */
  readonly ceilings: Partial<Ceilings>;
  /** The default model's. */
  readonly native: NativeConfig;
  /** The default model, loaded once for all cases, with at least 32 slots. */
  model(): Promise<Model>;
  /** A folder with a model of random weights, written once for all cases. */
  folder(geometry: GeometryName): Promise<string>;
  /** Loads and runs a model in a process of its own, since memory that was given back is not always seen to be. */
  apart(request: ModelRequest): Promise<ModelFigures>;
}

/** A case that has what it needs. */
export interface OpenCase {
  /** @throws Error saying what is wrong: the case then fails, and is not timed. */
  check(): Promise<void>;
  measure(): Promise<Row[]>;
  close?(): void;
}

export interface BenchCase {
  readonly group: Group;
  readonly name: string;
  open(bench: Bench): Promise<OpenCase> | OpenCase;
}

export interface GroupedRow extends Row {
  readonly group: Group;
}

/** A case that could not be opened, gave a wrong result, or broke off. */
export interface Failure {
  readonly group: Group;
  readonly name: string;
  readonly message: string;
}

/** Checks and then times each case; one that fails keeps none of the others. */
export async function runCases(
  cases: readonly BenchCase[],
  bench: Bench,
  onProgress?: (done: number, total: number, name: string) => void,
): Promise<{ rows: GroupedRow[]; failures: Failure[] }> {
  const rows: GroupedRow[] = [];
  const failures: Failure[] = [];
  for (const [i, { group, name, open }] of cases.entries()) {
    onProgress?.(i, cases.length, `${group}: ${name}`);
    let opened: OpenCase | undefined;
    try {
      opened = await open(bench);
      await opened.check();
      const measured = await opened.measure();
      await bench.gpu.settle();
      const odd = measured.find((row) => ![row.value, row.low, row.high].every(Number.isFinite));
      if (odd) throw new Error(`${odd.name}: ${odd.value} ${odd.unit} is no measurement`);
      rows.push(...measured.map((row) => ({ group, ...row })));
    } catch (error) {
      bench.gpu.assertAlive(); // on a lost device everything else would fail too
      failures.push({ group, name, message: error instanceof Error ? error.message : String(error) });
    } finally {
      opened?.close?.();
    }
  }
  onProgress?.(cases.length, cases.length, "");
  return { rows, failures };
}

/** Cases of the groups that `patterns` name, and those with one of the others in their names; all without any. */
export function chosen(cases: readonly BenchCase[], patterns: readonly string[]): BenchCase[] {
  if (patterns.length === 0) return [...cases];
  const wanted = patterns.map((pattern) => pattern.toLowerCase());
  const named = (pattern: string): boolean => groups.some((group) => group === pattern);
  return cases.filter(({ group, name }) =>
    wanted.some((pattern) => (named(pattern) ? group === pattern : name.toLowerCase().includes(pattern))),
  );
}
