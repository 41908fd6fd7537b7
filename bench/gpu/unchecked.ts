import { DispatchTimer } from "../../engine/device/dispatch-timer.ts";
import { weightFormats } from "../../kernels/matrix.ts";
import type { BenchCase } from "../harness/case.ts";
import { less, more, type Row } from "../harness/row.ts";
import { inTurns } from "../harness/statistics.ts";
import { Given } from "../kernels/given.ts";
import { productWorks } from "../kernels/products.ts";

/** Pythia-160m's up, a row at a time. */
const SIZE = { of: "160m up", n: 3072, k: 768, epilogue: "gelu", norm: true, rows: 1, by: "row" } as const;

/** A product with Dawn's bounds checks and zeroed memory, and without, in turns: `--unchecked` on the command line. */
export const unchecked: BenchCase = {
  group: "gpu",
  name: "unchecked",
  onlyNamed: true,
  async open(bench) {
    const sides = [bench.gpu, await bench.unchecked()].map((gpu) => {
      const given = new Given(gpu);
      const works = productWorks(given, { ...bench, gpu }, [SIZE], weightFormats);
      return { given, works, timer: new DispatchTimer(gpu) };
    });
    const [checked, free] = sides as [(typeof sides)[0], (typeof sides)[0]];
    return {
      async check() {
        for (const i of weightFormats.keys()) {
          const values: ArrayLike<number>[] = [];
          for (const { given, works } of sides) {
            const work = works[i]!;
            given.submit(work.lists[0] ?? [], work.run);
            values.push((await work.compare())[0]);
          }
          if (Array.from(values[0]!).some((value, at) => !Object.is(value, values[1]![at]))) {
            throw new Error(`${weightFormats[i]}: the results differ without checks`);
          }
        }
      },
      async measure() {
        const rows: Row[] = [];
        for (const [i, format] of weightFormats.entries()) {
          const runs: (() => Promise<number>)[] = [];
          for (const { works, timer } of sides) {
            const work = works[i]!;
            const repeats = await timer.repeatsFor(work, bench.sample);
            runs.push(() => timer.sample(work, repeats));
          }
          const [withChecks, without] = await inTurns(runs, 2 * bench.rounds);
          const how = { timed: checked.timer.timed };
          const name = `${SIZE.of} ${format}`;
          rows.push(
            less(`${name}, checked`, withChecks!, "µs", how),
            less(`${name}, unchecked`, without!, "µs", how),
            more(`${name}, checked / unchecked`, withChecks!.median / without!.median, "×"),
          );
        }
        return rows;
      },
      close() {
        for (const { given, timer } of [checked, free]) {
          timer.destroy();
          given.destroy();
        }
      },
    };
  },
};
