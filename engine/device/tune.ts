import type { Dispatch, KernelHost } from "../../kernels/kernel.ts";
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
import type { ProductShape } from "../product-shape.ts";
import { chooseFaster } from "./choose-faster.ts";
import { DispatchTimer, type GpuWork } from "./dispatch-timer.ts";
import type { Gpu } from "./gpu.ts";
import { TemporaryBuffers } from "./temporary-buffers.ts";
import { defaultTuning, rowsPerWorkgroupChoices, sharedLoadLanesChoices, type Tuning } from "./tuning.ts";

/** The weight formats that are measured. */
export const tunedFormats = ["f32", "f16"] as const satisfies readonly WeightFormat[];
type Format = (typeof tunedFormats)[number];

/** One measurement: the products of a model, done in one way. */
export interface Measured {
  /** The choice that it is for. */
  readonly choice: keyof Tuning;
  readonly sharedLoadLanes: Tuning["sharedLoadLanes"];
  readonly rowsPerWorkgroup: Tuning["rowsPerWorkgroup"];
  readonly way: ProductWay;
  /** Rows of the input. */
  readonly rows: number;
  /** Median time of all of the model's products, for weights of each format. */
  readonly microseconds: Readonly<Record<Format, number>>;
}

export interface Tuned {
  readonly tuning: Tuning;
  /** The tuning that is used where nothing was measured. */
  readonly standard: Tuning;
  /** Whether the times are from the GPU's timestamps, or from the host's clock between submission and completion. */
  readonly timed: DispatchTimer["timed"];
  readonly measured: readonly Measured[];
}

export interface TuneOptions {
  /** Samples of each candidate; candidates are measured in turns. Default 5. */
  readonly samples?: number;
  /** Approximate duration of a sample. Default 40. */
  readonly milliseconds?: number;
  /**
   * Most bytes of weights in each format. A model with more is measured by a part of its matrices, in about the same
   * proportions. Default 256 MiB, more than any GPU's cache holds; 16 MiB on a CPU.
   */
  readonly weightBytes?: number;
}

/** Rows of the prefill pass that is measured. */
const PREFILL_ROWS = 64;

/**
 * Measures on a device what {@link defaultTuning} only assumes, with the products of one model: first how many lanes should
 * share loads, in a decode step and in prefill; then how many matrix rows a workgroup should take; then from how many
 * streams on tiles are faster than a row at a time. Times by the GPU's own clock where the device has `timestamp-query`, so
 * that recording in JavaScript does not count. The standard choice stays unless a candidate is faster by a margin
 * ({@link chooseFaster}). Every candidate gives the same bits.
 * @param products the matrices of the model: `productShapes` of its configuration
 * @throws ResonantError `out_of_memory` if the device has no room for the weights, `device_lost`
 */
export async function tune(
  gpu: Gpu,
  products: readonly ProductShape[],
  options: TuneOptions = {},
): Promise<Tuned> {
  const standard = defaultTuning(gpu.kind, gpu.mostSharedLoadLanes);
  const bench = new Bench(gpu, products, options);
  const measured: Measured[] = [];
  /** Measures one question, in several passes; returns the index of the chosen candidate. */
  const choose = async (usual: number, ...passes: readonly (readonly Candidate[])[]): Promise<number> => {
    const times: number[][][] = [];
    for (const candidates of passes) {
      const { samples, rows } = await bench.compare(candidates);
      measured.push(...rows);
      times.push(...samples);
    }
    return chooseFaster(times, usual);
  };
  try {
    const laneCounts = sharedLoadLanesChoices.filter((lanes) => lanes <= gpu.mostSharedLoadLanes);
    const withLanes = (way: ProductWay, rows: number): Candidate[] =>
      laneCounts.map((sharedLoadLanes) => {
        const { rowsPerWorkgroup } = defaultTuning(gpu.kind, gpu.mostSharedLoadLanes, sharedLoadLanes);
        return { choice: "sharedLoadLanes", sharedLoadLanes, rowsPerWorkgroup, way, rows };
      });
    const ofLanes = [withLanes("row", 1), withLanes("tiles", PREFILL_ROWS)];
    const sharedLoadLanes =
      laneCounts[await choose(laneCounts.indexOf(standard.sharedLoadLanes), ...ofLanes)]!;

    const usual = defaultTuning(gpu.kind, gpu.mostSharedLoadLanes, sharedLoadLanes);
    // Lanes that share loads each take whole products, 64 at once, so there is nothing to choose.
    const rowCounts = rowsPerWorkgroupChoices.filter(
      (count) =>
        count === usual.rowsPerWorkgroup ||
        (sharedLoadLanes === 0 && bench.fits({ sharedLoadLanes, rowsPerWorkgroup: count })),
    );
    const withRows = rowCounts.map(
      (rowsPerWorkgroup) =>
        ({ choice: "rowsPerWorkgroup", sharedLoadLanes, rowsPerWorkgroup, way: "row", rows: 1 }) as const,
    );
    const rowsPerWorkgroup =
      rowCounts.length === 1
        ? usual.rowsPerWorkgroup
        : rowCounts[await choose(rowCounts.indexOf(usual.rowsPerWorkgroup), withRows)]!;

    const ways = ["row", "tiles"] as const;
    const chosen = { sharedLoadLanes, rowsPerWorkgroup };
    let tiledDecodeFrom: Tuning["tiledDecodeFrom"] = 32;
    for (const rows of [16, 8, 4, 2] as const) {
      const candidates = ways.map((way) => ({ choice: "tiledDecodeFrom", ...chosen, way, rows }) as const);
      if (ways[await choose(rows < usual.tiledDecodeFrom ? 0 : 1, candidates)] === "row") break;
      tiledDecodeFrom = rows;
    }
    return { tuning: { ...chosen, tiledDecodeFrom }, standard, timed: bench.timed, measured };
  } finally {
    bench.destroy();
  }
}

type Candidate = Omit<Measured, "microseconds">;

/** The most weights of one matrix: more workgroups of the same kind would not change which candidate is fastest. */
const MOST_WEIGHTS = 2 ** 24;

/** Weights, input and output of the measurements, and the timing. */
class Bench {
  readonly #gpu: Gpu;
  readonly #timer: DispatchTimer;
  readonly #buffers: TemporaryBuffers;
  readonly #samples: number;
  readonly #milliseconds: number;
  readonly #weights: Readonly<Record<Format, readonly Matrix[]>>;
  /** All of the model's weights / those of one format that are measured. */
  readonly #scale: number;
  readonly #input: GPUBuffer;
  readonly #output: GPUBuffer;

  constructor(
    gpu: Gpu,
    products: readonly ProductShape[],
    { samples = 5, milliseconds = 40, weightBytes }: TuneOptions,
  ) {
    const buffers = new TemporaryBuffers(gpu, "tuning's");
    this.#gpu = gpu;
    this.#timer = new DispatchTimer(gpu);
    this.#buffers = buffers;
    this.#samples = samples;
    this.#milliseconds = milliseconds;
    try {
      const most = weightBytes ?? (gpu.kind === "software" ? 16 : 256) * 2 ** 20;
      const shapes = partOf(products, Math.ceil(most / 4));
      const sizeOf = (each: readonly ProductShape[]): number =>
        each.reduce((sum, { rows, columns, count }) => sum + rows * columns * count, 0);
      this.#scale = sizeOf(products) / sizeOf(shapes);
      const widest = Math.max(...shapes.map(({ columns }) => columns));
      const tallest = Math.max(...shapes.map(({ rows }) => rows));
      // The values do not matter, but zeros might be faster.
      const numbers = (count: number): Float32Array<ArrayBuffer> =>
        Float32Array.from({ length: count }, (_, i) => Math.sin(i));
      const largest = Math.max(...shapes.map(({ rows, columns }) => rows * columns));
      const matrix = buffers.upload("matrix", numbers(largest));
      this.#input = buffers.upload("input", numbers(PREFILL_ROWS * widest));
      this.#output = buffers.words("output", PREFILL_ROWS * tallest);
      const { weightLayout: layout } = gpu;
      const packing: Dispatch[] = [];
      const weightsIn = (format: Format): Matrix[] =>
        shapes.flatMap(({ rows, columns, count }) =>
          Array.from({ length: count }, () => {
            const buffer = buffers.words("weights", matrixBytes(rows, columns, format, layout) / 4);
            const weight = { buffer, rows, columns, format, layout };
            packing.push(...packWeight(buffers.host, { matrix, rows, weight }));
            return weight;
          }),
        );
      this.#weights = { f32: weightsIn("f32"), f16: weightsIn("f16") };
      gpu.submit((encoder) => gpu.record(encoder, packing, { rows: 1, length: 1 }));
    } catch (error) {
      this.destroy();
      throw error;
    }
  }

  get timed(): DispatchTimer["timed"] {
    return this.#timer.timed;
  }

  /** Whether a workgroup has room for so many rows of the widest matrix. */
  fits(of: Pick<Candidate, "sharedLoadLanes" | "rowsPerWorkgroup">): boolean {
    const widest = Math.max(...this.#weights.f32.map(({ columns }) => columns));
    return rowsThatFit(this.#host(of), widest) === of.rowsPerWorkgroup;
  }

  #host({ sharedLoadLanes, rowsPerWorkgroup }: Pick<Candidate, "sharedLoadLanes" | "rowsPerWorkgroup">) {
    return { ...this.#buffers.host, sharedLoadLanes, rowsPerWorkgroup } satisfies KernelHost;
  }

  /** Measures candidates, taking turns. `samples`: `[formats][candidates][samples]`. */
  async compare(candidates: readonly Candidate[]): Promise<{ rows: Measured[]; samples: number[][][] }> {
    const works = tunedFormats.map((format) => candidates.map((of) => this.#workOf(of, format)));
    const repeats: number[][] = [];
    for (const ofFormat of works) {
      const counts: number[] = [];
      for (const work of ofFormat) {
        await this.#timer.sample(work, 1); // compiles its kernels
        await this.#gpu.settle();
        counts.push(await this.#timer.repeatsFor(work, this.#milliseconds));
      }
      repeats.push(counts);
    }
    const samples = works.map((ofFormat) => ofFormat.map((): number[] => []));
    for (let sample = 0; sample < this.#samples; sample++) {
      for (const [i, ofFormat] of works.entries()) {
        for (const [j, work] of ofFormat.entries()) {
          samples[i]![j]!.push(this.#scale * (await this.#timer.sample(work, repeats[i]![j]!)));
        }
      }
    }
    await this.#gpu.settle();
    const rows = candidates.map((of, j) => {
      const [f32, f16] = samples.map((ofFormat) => median(ofFormat[j]!)) as [number, number];
      return { ...of, microseconds: { f32, f16 } };
    });
    return { rows, samples };
  }

  #workOf({ way, rows, ...of }: Candidate, format: Format): GpuWork {
    const host = this.#host(of);
    const run = { rows, length: 1 };
    const uniform = runUniform(host, "run");
    this.#gpu.device.queue.writeBuffer(uniform, 0, encodeRun(run));
    const list = this.#weights[format].flatMap((weight) => {
      const product: Product = {
        weight,
        input: { buffer: this.#input, stride: weight.columns },
        output: { buffer: this.#output, stride: weight.rows },
        epilogue: "store",
      };
      // Rows that are too wide for a workgroup are multiplied in tiles by models, too.
      return way === "row" && rowsThatFit(host, weight.columns) >= 2
        ? linearRow(host, product)
        : linearTiled(host, uniform, product, rows === PREFILL_ROWS ? "prefill" : tileBatchFor(rows));
    });
    return { lists: [list], run };
  }

  destroy(): void {
    this.#timer.destroy();
    this.#buffers.destroy();
  }
}

/** A part of a model's matrices with at most about `weights` weights, but one of each shape, in about the same proportions. */
function partOf(products: readonly ProductShape[], weights: number): ProductShape[] {
  const most = Math.min(MOST_WEIGHTS, weights);
  const pieces = products
    .filter(({ count }) => count > 0)
    .map((of) => {
      const rows = Math.min(of.rows, Math.max(64, Math.floor(most / of.columns)));
      return { ...of, rows, count: (of.count * of.rows) / rows };
    });
  const all = pieces.reduce((sum, { rows, columns, count }) => sum + rows * columns * count, 0);
  const share = Math.min(1, weights / all);
  return pieces.map((of) => ({ ...of, count: Math.max(1, Math.round(of.count * share)) }));
}

const median = (of: readonly number[]): number => [...of].sort((a, b) => a - b)[of.length >> 1]!;
