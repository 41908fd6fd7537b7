import type { GpuWork } from "../../engine/device/dispatch-timer.ts";
import { relativeError } from "../../engine/goldens.ts";
import type { Bench, BenchCase, Ceilings } from "../harness/case.ts";
import { type Bound, bounds, less, type Row } from "../harness/row.ts";
import { inTurns, type Summary } from "../harness/statistics.ts";
import { Given } from "./given.ts";

/** One kernel at one size: its costs, and how to check its result. */
export interface KernelWork extends GpuWork {
  readonly name: string;
  /** The fewest bytes that must be moved: each input read once, each output written once. */
  readonly bytes: number;
  /** Arithmetic operations that its formula needs; 0 if they are negligible beside the bytes. */
  readonly flops: number;
  /** After its first list has run once: the result and the f64 reference, for the parts that are compared. */
  compare(): Promise<readonly [actual: ArrayLike<number>, expected: ArrayLike<number>]>;
  /** Default 3e-6. */
  readonly tolerance?: number;
}

/** Rows of a prefill pass: enough for the cores of a GPU, and few enough for a CPU. */
export const promptRows = ({ gpu }: Bench): number => (gpu.kind === "software" ? 64 : 256);

/** Kernels that are measured in turns, so that they can be compared. */
export function kernelCase(
  name: string,
  make: (given: Given, bench: Bench) => readonly KernelWork[],
): BenchCase {
  return {
    group: "kernels",
    name,
    open(bench) {
      const given = new Given(bench.gpu);
      const works = make(given, bench);
      return {
        async check() {
          for (const work of works) {
            given.submit(work.lists[0] ?? [], work.run);
            const error = relativeError(...(await work.compare()));
            const { tolerance = 3e-6 } = work;
            if (!(error <= tolerance)) {
              throw new Error(`${work.name}: its error is ${error}, more than ${tolerance}`);
            }
          }
        },
        async measure() {
          const repeats: number[] = [];
          for (const work of works) repeats.push(await bench.timer.repeatsFor(work, bench.sample));
          const summaries = await inTurns(
            works.map((work, i) => () => bench.timer.sample(work, repeats[i]!)),
            bench.rounds,
          );
          return works.map((work, i) => rowOf(work, summaries[i]!, bench));
        },
        close: () => given.destroy(),
      };
    },
  };
}

function rowOf({ name, bytes, flops, lists }: KernelWork, summary: Summary, bench: Bench): Row {
  const seconds = summary.median / 1e6;
  const cost = { bytes, flops, dispatches: lists[0]?.length ?? 0 };
  return less(name, summary, "µs", {
    ...nearest(cost, seconds, bench.ceilings),
    timed: bench.timer.timed,
    bytesPerSecond: bytes / seconds,
    ...(flops > 0 ? { flopsPerSecond: flops / seconds } : {}),
  });
}

/** The ceiling that work of `seconds` comes nearest to, and its share of that ceiling. */
export function nearest(
  cost: { readonly bytes: number; readonly flops: number; readonly dispatches: number },
  seconds: number,
  { bytesPerSecond, flopsPerSecond, dispatch }: Partial<Ceilings>,
): { share?: number; bound?: Bound } {
  const least: Record<Bound, number> = {
    bandwidth: bytesPerSecond ? cost.bytes / bytesPerSecond : 0,
    arithmetic: flopsPerSecond ? cost.flops / flopsPerSecond : 0,
    dispatch: dispatch ? (cost.dispatches * dispatch) / 1e6 : 0,
  };
  const bound = bounds.reduce((a, b) => (least[b] > least[a] ? b : a));
  return least[bound] > 0 ? { share: least[bound] / seconds, bound } : {};
}
