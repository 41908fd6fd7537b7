import type { Dispatch, KernelHost, RunShape } from "../../kernels/kernel.ts";
import {
  linearRow,
  linearTiled,
  type Product,
  type ProductWay,
  tileBatchFor,
} from "../../kernels/linear/linear.ts";
import { type Matrix, matrixBytes, type WeightFormat } from "../../kernels/matrix.ts";
import { packWeight } from "../../kernels/pack-weight/pack-weight.ts";
import { rowsThatFit } from "../../kernels/products.ts";
import { encodeRun, runUniform } from "../../kernels/run.ts";
import type { Gpu } from "./gpu.ts";
import { TemporaryBuffers } from "./temporary-buffers.ts";
import { defaultTuning, rowsPerWorkgroupChoices, sharedLoadLanesChoices, type Tuning } from "./tuning.ts";

/** The weight formats that are measured. */
export const tunedFormats = ["f32", "f16"] as const satisfies readonly WeightFormat[];
type Format = (typeof tunedFormats)[number];

/** One measurement: products with a `[3072, 768]` matrix, done in one way. */
export interface Measured {
  /** The choice that it is for. */
  readonly choice: keyof Tuning;
  readonly sharedLoadLanes: Tuning["sharedLoadLanes"];
  readonly rowsPerWorkgroup: Tuning["rowsPerWorkgroup"];
  readonly way: ProductWay;
  /** Rows of the input. */
  readonly rows: number;
  /** Median time of a product, for weights of each format. */
  readonly microseconds: Readonly<Record<Format, number>>;
}

export interface Tuned {
  readonly tuning: Tuning;
  /** The tuning that is used where nothing was measured. */
  readonly standard: Tuning;
  readonly measured: readonly Measured[];
}

export interface TuneOptions {
  /** Samples of each candidate; candidates are measured in turns. Default 5. */
  readonly samples?: number;
  /** Approximate least duration of a sample. Default 40. */
  readonly milliseconds?: number;
  /**
   * Bytes of weights that a sample reads at least, so that no GPU cache can hold them. Default 256 MiB, 16 MiB on a CPU.
   */
  readonly weightBytes?: number;
}

const COLUMNS = 768;
const OUTPUTS = 3072;
/** Rows of the prefill pass that is measured. */
const PREFILL_ROWS = 64;
/** Columns that a workgroup must have room for besides its products: those of the widest base models. */
const WIDEST = 4096;
/**
 * A candidate replaces the standard choice only if its time is below this fraction of the standard's: a smaller gain may be
 * noise.
 */
const WINS = 0.95;

/**
 * Measures on a device what {@link defaultTuning} only assumes: first how many lanes should share loads, with products of a
 * decode step and of prefill; then how many matrix rows a workgroup should take; then from how many streams on tiles are
 * faster than a row at a time. The standard choice stays unless a candidate is more than 5 % faster. Every candidate gives
 * the same bits.
 * @throws ResonantError `out_of_memory` if the device has no room for the weights, `device_lost`
 */
export async function tune(gpu: Gpu, options: TuneOptions = {}): Promise<Tuned> {
  const standard = defaultTuning(gpu.kind, gpu.mostSharedLoadLanes);
  const bench = new Bench(gpu, options);
  const measured: Measured[] = [];
  const compare = async (candidates: readonly Candidate[]): Promise<readonly Measured[]> => {
    const times = await bench.compare(candidates);
    measured.push(...times);
    return times;
  };
  try {
    const laneCounts = sharedLoadLanesChoices.filter((lanes) => lanes <= gpu.mostSharedLoadLanes);
    const withLanes = (way: ProductWay, rows: number): Candidate[] =>
      laneCounts.map((sharedLoadLanes) => {
        const { rowsPerWorkgroup } = defaultTuning(gpu.kind, gpu.mostSharedLoadLanes, sharedLoadLanes);
        return { choice: "sharedLoadLanes", sharedLoadLanes, rowsPerWorkgroup, way, rows };
      });
    const ofLanes = [await compare(withLanes("row", 1)), await compare(withLanes("tiles", PREFILL_ROWS))];
    const sharedLoadLanes = fastest(laneCounts, standard.sharedLoadLanes, ofLanes);

    const usual = defaultTuning(gpu.kind, gpu.mostSharedLoadLanes, sharedLoadLanes);
    // Lanes that share loads each take whole products, 64 at once, so there is nothing to choose.
    const rowCounts = rowsPerWorkgroupChoices.filter(
      (count) =>
        count === usual.rowsPerWorkgroup ||
        (sharedLoadLanes === 0 &&
          rowsThatFit(bench.host({ sharedLoadLanes, rowsPerWorkgroup: count }), WIDEST) === count),
    );
    const withRows = rowCounts.map(
      (rowsPerWorkgroup) =>
        ({ choice: "rowsPerWorkgroup", sharedLoadLanes, rowsPerWorkgroup, way: "row", rows: 1 }) as const,
    );
    const rowsPerWorkgroup =
      rowCounts.length === 1
        ? usual.rowsPerWorkgroup
        : fastest(rowCounts, usual.rowsPerWorkgroup, [await compare(withRows)]);

    const ways = ["row", "tiles"] as const;
    const chosen = { sharedLoadLanes, rowsPerWorkgroup };
    let tiledDecodeFrom: Tuning["tiledDecodeFrom"] = 32;
    for (const rows of [16, 8, 4, 2] as const) {
      const times = await compare(
        ways.map((way) => ({ choice: "tiledDecodeFrom", ...chosen, way, rows }) as const),
      );
      if (fastest(ways, rows < usual.tiledDecodeFrom ? "row" : "tiles", [times]) === "row") break;
      tiledDecodeFrom = rows;
    }
    return { tuning: { ...chosen, tiledDecodeFrom }, standard, measured };
  } finally {
    bench.destroy();
  }
}

/**
 * The candidate with the smallest geometric mean of (its time / the usual candidate's time), if it is faster by enough;
 * else the usual one.
 * @param times the times of each candidate, one list per way of measuring
 */
function fastest<T>(candidates: readonly T[], usual: T, times: readonly (readonly Measured[])[]): T {
  const standard = candidates.indexOf(usual);
  const costs = candidates.map((_, candidate) => {
    const logs = times.flatMap((of) =>
      tunedFormats.map((format) =>
        Math.log(of[candidate]!.microseconds[format] / of[standard]!.microseconds[format]),
      ),
    );
    return Math.exp(logs.reduce((sum, log) => sum + log, 0) / logs.length);
  });
  const least = Math.min(...costs);
  return least < WINS ? candidates[costs.indexOf(least)]! : usual;
}

type Candidate = Omit<Measured, "microseconds">;

/** The dispatches of one candidate and format over all weights, and how often a sample repeats them. */
interface Work {
  readonly dispatches: readonly Dispatch[];
  readonly run: RunShape;
  readonly repeats: number;
}

/** The weights, input and output of the measurements, and the timing. */
class Bench {
  readonly #gpu: Gpu;
  readonly #buffers: TemporaryBuffers;
  readonly #samples: number;
  readonly #milliseconds: number;
  readonly #weights: Readonly<Record<Format, readonly Matrix[]>>;
  readonly #input: GPUBuffer;
  readonly #output: GPUBuffer;

  constructor(gpu: Gpu, { samples = 5, milliseconds = 40, weightBytes }: TuneOptions) {
    const buffers = new TemporaryBuffers(gpu, "tuning's");
    this.#gpu = gpu;
    this.#buffers = buffers;
    this.#samples = samples;
    this.#milliseconds = milliseconds;
    try {
      const bytes = weightBytes ?? (gpu.kind === "software" ? 16 : 256) * 2 ** 20;
      // The values do not matter, but zeros might be faster.
      const numbers = (count: number): Float32Array<ArrayBuffer> =>
        Float32Array.from({ length: count }, (_, i) => Math.sin(i));
      const matrix = buffers.upload("matrix", numbers(OUTPUTS * COLUMNS));
      this.#input = buffers.upload("input", numbers(PREFILL_ROWS * COLUMNS));
      this.#output = buffers.words("output", PREFILL_ROWS * OUTPUTS);
      const packing: Dispatch[] = [];
      const weightsIn = (format: Format): Matrix[] => {
        const size = matrixBytes(OUTPUTS, COLUMNS, format, gpu.weightLayout);
        return Array.from({ length: Math.ceil(bytes / size) }, () => {
          const buffer = buffers.words("weights", size / 4);
          const layout = gpu.weightLayout;
          const weight = { buffer, rows: OUTPUTS, columns: COLUMNS, format, layout };
          packing.push(...packWeight(buffers.host, { matrix, rows: OUTPUTS, weight }));
          return weight;
        });
      };
      this.#weights = { f32: weightsIn("f32"), f16: weightsIn("f16") };
      this.#submit({ dispatches: packing, run: { rows: OUTPUTS, length: 1 }, repeats: 1 });
    } catch (error) {
      buffers.destroy();
      throw error;
    }
  }

  host(changes: Pick<Candidate, "sharedLoadLanes" | "rowsPerWorkgroup">): KernelHost {
    const { sharedLoadLanes, rowsPerWorkgroup } = changes;
    return { ...this.#buffers.host, sharedLoadLanes, rowsPerWorkgroup };
  }

  /** Measures candidates, taking turns. */
  async compare(candidates: readonly Candidate[]): Promise<Measured[]> {
    const works = candidates.map((of) => tunedFormats.map((format) => this.#workOf(of, format)));
    const times = works.map((of) => of.map((): number[] => []));
    const ready: Work[][] = [];
    for (const of of works) {
      const enough: Work[] = [];
      for (const work of of) enough.push(await this.#repeated(work));
      ready.push(enough);
    }
    for (let sample = 0; sample < this.#samples; sample++) {
      for (const [i, of] of ready.entries()) {
        for (const [j, work] of of.entries()) times[i]![j]!.push(await this.#time(work));
      }
    }
    return candidates.map((of, i) => {
      const [f32, f16] = times[i]!.map(median) as [number, number];
      return { ...of, microseconds: { f32, f16 } };
    });
  }

  #workOf({ way, rows, ...of }: Candidate, format: Format): Work {
    const host = this.host(of);
    const shape = { rows, length: 1 };
    const run = runUniform(host, "run");
    this.#gpu.device.queue.writeBuffer(run, 0, encodeRun(shape));
    const dispatches = this.#weights[format].flatMap((weight) => {
      const product: Product = {
        weight,
        input: { buffer: this.#input, stride: COLUMNS },
        output: { buffer: this.#output, stride: OUTPUTS },
        epilogue: "store",
      };
      return way === "row"
        ? linearRow(host, product)
        : linearTiled(host, run, product, rows === PREFILL_ROWS ? "prefill" : tileBatchFor(rows));
    });
    return { dispatches, run: shape, repeats: 1 };
  }

  /** The work, repeated until it takes long enough to be timed. Its kernels are compiled by then. */
  async #repeated(work: Work): Promise<Work> {
    await this.#time(work);
    await this.#gpu.settle();
    for (let of = work; ; ) {
      const took = ((await this.#time(of)) * of.repeats * work.dispatches.length) / 1000;
      if (took >= this.#milliseconds / 2) return of;
      of = { ...work, repeats: Math.ceil((of.repeats * this.#milliseconds) / Math.max(took, 0.1)) };
    }
  }

  /** Microseconds per dispatch. */
  async #time(work: Work): Promise<number> {
    this.#gpu.assertAlive();
    const start = performance.now();
    this.#submit(work);
    await this.#gpu.device.queue.onSubmittedWorkDone();
    return ((performance.now() - start) * 1000) / (work.repeats * work.dispatches.length);
  }

  #submit({ dispatches, run, repeats }: Work): void {
    this.#gpu.submit((encoder) => {
      for (let i = 0; i < repeats; i++) this.#gpu.record(encoder, dispatches, run);
    });
  }

  destroy(): void {
    this.#buffers.destroy();
  }
}

const median = (of: readonly number[]): number => [...of].sort((a, b) => a - b)[of.length >> 1]!;
