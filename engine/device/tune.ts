import type { Dispatch, KernelHost, RunShape } from "../../kernels/kernel.ts";
import { linear, linearRow, type Product, rowsFor } from "../../kernels/linear/linear.ts";
import { type Matrix, matrixBytes, type WeightFormat } from "../../kernels/matrix.ts";
import { packWeight } from "../../kernels/pack-weight/pack-weight.ts";
import { productsThatFit } from "../../kernels/products.ts";
import { encodeRun, runUniform } from "../../kernels/run.ts";
import type { Gpu } from "./gpu.ts";
import { Scratch } from "./scratch.ts";
import { defaultTuning, productCounts, shareCounts, type Tuning } from "./tuning.ts";

/** Formats of the weights that are measured. */
export const tunedFormats = ["f32", "f16"] as const satisfies readonly WeightFormat[];
type Format = (typeof tunedFormats)[number];

/** What was measured: products with a `[3072, 768]` matrix, done in one way. */
export interface Measured {
  /** What it helps to choose. */
  readonly choice: keyof Tuning;
  readonly share: Tuning["share"];
  readonly products: Tuning["products"];
  /** A row at a time, or in tiles. */
  readonly way: "row" | "tiles";
  /** Rows of the input. */
  readonly rows: number;
  /** Of a product with weights of each format, the median. */
  readonly microseconds: Readonly<Record<Format, number>>;
}

export interface Tuned {
  readonly tuning: Tuning;
  /** What is used where nothing was measured. */
  readonly standard: Tuning;
  readonly measured: readonly Measured[];
}

export interface TuneOptions {
  /** Samples of each candidate, taken in turns with the others'. Default 5. */
  readonly samples?: number;
  /** What a sample takes at least, about. Default 40. */
  readonly milliseconds?: number;
  /** Weights that a sample reads at least, so that no cache of a GPU holds them. Default 256 MiB, on a CPU 16 MiB. */
  readonly weightBytes?: number;
}

const COLUMNS = 768;
const OUTPUTS = 3072;
/** Rows of a part of a prompt. */
const PROMPT = 64;
/** Columns for which a workgroup must have room beside its products: those of the widest base models. */
const WIDEST = 4096;
/** What a candidate's time may at most be of the standard one's to take its place: less may be noise. */
const WINS = 0.95;

/**
 * Measures on a device what {@link defaultTuning} only supposes: first how many lanes share loads, by products of a step and
 * of a prompt; then how many products a workgroup takes; then from how many rows on tiles beat a row at a time. What is
 * standard stands unless a candidate is faster by more than 5 %. Every candidate gives the same bits.
 * @throws ResonantError `out_of_memory` if the device has no room for the weights, `device_lost`
 */
export async function tune(gpu: Gpu, options: TuneOptions = {}): Promise<Tuned> {
  const standard = defaultTuning(gpu.kind, gpu.lanes);
  const bench = new Bench(gpu, options);
  const measured: Measured[] = [];
  const compare = async (candidates: readonly Candidate[]): Promise<readonly Measured[]> => {
    const times = await bench.compare(candidates);
    measured.push(...times);
    return times;
  };
  try {
    const shares = shareCounts.filter((share) => share <= gpu.lanes);
    const withShare = (way: "row" | "tiles", rows: number): Candidate[] =>
      shares.map((share) => {
        const { products } = defaultTuning(gpu.kind, gpu.lanes, share);
        return { choice: "share", share, products, way, rows };
      });
    const ofShares = [await compare(withShare("row", 1)), await compare(withShare("tiles", PROMPT))];
    const share = fastest(shares, standard.share, ofShares);

    const usual = defaultTuning(gpu.kind, gpu.lanes, share);
    // Where lanes share loads they take whole products, 64 at once.
    const counts = productCounts.filter(
      (count) =>
        count === usual.products ||
        (share === 0 && productsThatFit(bench.host({ share, products: count }), WIDEST) === count),
    );
    const withCounts = counts.map(
      (products) => ({ choice: "products", share, products, way: "row", rows: 1 }) as const,
    );
    const products =
      counts.length === 1 ? usual.products : fastest(counts, usual.products, [await compare(withCounts)]);

    const ways = ["row", "tiles"] as const;
    let manyRows: Tuning["manyRows"] = 32;
    for (const rows of [16, 8, 4, 2] as const) {
      const times = await compare(ways.map((way) => ({ choice: "manyRows", share, products, way, rows })));
      if (fastest(ways, rows < usual.manyRows ? "row" : "tiles", [times]) === "row") break;
      manyRows = rows;
    }
    return { tuning: { share, products, manyRows }, standard, measured };
  } finally {
    bench.destroy();
  }
}

/**
 * The candidate with the least geometric mean of its times over the usual one's, if that beats the usual one by enough.
 * @param times of each candidate, measured in several ways
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

/** Dispatches of one candidate and format, over all weights, so many times a sample. */
interface Work {
  readonly dispatches: readonly Dispatch[];
  readonly run: RunShape;
  readonly repeats: number;
}

/** Weights, an input and an output, and the clock. */
class Bench {
  readonly #gpu: Gpu;
  readonly #scratch: Scratch;
  readonly #samples: number;
  readonly #milliseconds: number;
  readonly #weights: Readonly<Record<Format, readonly Matrix[]>>;
  readonly #input: GPUBuffer;
  readonly #output: GPUBuffer;

  constructor(gpu: Gpu, { samples = 5, milliseconds = 40, weightBytes }: TuneOptions) {
    const scratch = new Scratch(gpu, "tuning's");
    this.#gpu = gpu;
    this.#scratch = scratch;
    this.#samples = samples;
    this.#milliseconds = milliseconds;
    try {
      const bytes = weightBytes ?? (gpu.kind === "cpu" ? 16 : 256) * 2 ** 20;
      // Some numbers: their values do not matter, but zeros might be cheaper.
      const numbers = (count: number): Float32Array<ArrayBuffer> =>
        Float32Array.from({ length: count }, (_, i) => Math.sin(i));
      const matrix = scratch.upload("matrix", numbers(OUTPUTS * COLUMNS));
      this.#input = scratch.upload("input", numbers(PROMPT * COLUMNS));
      this.#output = scratch.words("output", PROMPT * OUTPUTS);
      const packing: Dispatch[] = [];
      const weightsIn = (format: Format): Matrix[] => {
        const size = matrixBytes(OUTPUTS, COLUMNS, format);
        return Array.from({ length: Math.ceil(bytes / size) }, () => {
          const buffer = scratch.words("weights", size / 4);
          const weight = { buffer, rows: OUTPUTS, columns: COLUMNS, format };
          packing.push(packWeight(scratch.host, { matrix, rows: OUTPUTS, weight }));
          return weight;
        });
      };
      this.#weights = { f32: weightsIn("f32"), f16: weightsIn("f16") };
      this.#submit({ dispatches: packing, run: { rows: OUTPUTS, length: 1 }, repeats: 1 });
    } catch (error) {
      scratch.destroy();
      throw error;
    }
  }

  host({ share, products }: Pick<Candidate, "share" | "products">): KernelHost {
    return { ...this.#scratch.host, share, products };
  }

  /** Times candidates, in turns. */
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
        : linear(host, run, product, rows === PROMPT ? "prompt" : rowsFor(rows));
    });
    return { dispatches, run: shape, repeats: 1 };
  }

  /** Work that takes long enough to be timed; its kernels are ready then. */
  async #repeated(work: Work): Promise<Work> {
    await this.#time(work);
    await this.#gpu.settle();
    for (let of = work; ; ) {
      const took = ((await this.#time(of)) * of.repeats * work.dispatches.length) / 1000;
      if (took >= this.#milliseconds / 2) return of;
      of = { ...work, repeats: Math.ceil((of.repeats * this.#milliseconds) / Math.max(took, 0.1)) };
    }
  }

  /** Microseconds of one of its dispatches. */
  async #time(work: Work): Promise<number> {
    this.#gpu.assertAlive();
    const start = performance.now();
    this.#submit(work);
    await this.#gpu.device.queue.onSubmittedWorkDone();
    return ((performance.now() - start) * 1000) / (work.repeats * work.dispatches.length);
  }

  #submit({ dispatches, run, repeats }: Work): void {
    const encoder = this.#gpu.device.createCommandEncoder();
    for (let i = 0; i < repeats; i++) this.#gpu.record(encoder, dispatches, run);
    this.#gpu.device.queue.submit([encoder.finish()]);
  }

  destroy(): void {
    this.#scratch.destroy();
  }
}

const median = (of: readonly number[]): number => [...of].sort((a, b) => a - b)[of.length >> 1]!;
