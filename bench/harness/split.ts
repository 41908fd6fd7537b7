import type { Gpu } from "../../engine/device/gpu.ts";
import type { Runner } from "../../engine/runner/runner.ts";

/** Maximum number of passes whose timestamps are kept. */
const MOST_PASSES = 1024;

/** How the time of all runs divides between host and GPU, in milliseconds. */
export interface TimeSplit {
  /** Time in `Runner.batch`: JavaScript and Dawn prepare, record and submit. Excludes waiting and reading back. */
  readonly host: number;
  /** Time in compute passes, by the GPU's timestamps; undefined if the device has none. */
  readonly gpu: number | undefined;
}

/** Measures how a runner's time divides between host and GPU while `work` decodes. */
export async function splitTime(gpu: Gpu, runner: Runner, work: () => Promise<unknown>): Promise<TimeSplit> {
  const clock = gpu.device.features.has("timestamp-query") ? new PassClock(gpu) : undefined;
  let host = 0;
  const { batch } = runner;
  runner.batch = (...args) => {
    const start = performance.now();
    try {
      return batch.apply(runner, args);
    } finally {
      host += performance.now() - start;
    }
  };
  try {
    await work();
    return { host, gpu: await clock?.milliseconds() };
  } finally {
    Reflect.deleteProperty(runner, "batch");
    clock?.close();
  }
}

/** Takes timestamps of every compute pass that a device records, until it is closed. */
class PassClock {
  readonly #gpu: Gpu;
  readonly #queries: GPUQuerySet;
  readonly #stamps: GPUBuffer;
  #passes = 0;

  constructor(gpu: Gpu) {
    this.#gpu = gpu;
    this.#queries = gpu.device.createQuerySet({ type: "timestamp", count: 2 * MOST_PASSES });
    const usage = GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC;
    this.#stamps = gpu.buffer("timestamps", 16 * MOST_PASSES, usage);
    const { record } = gpu;
    gpu.record = (encoder, ...rest) => {
      const begin = encoder.beginComputePass.bind(encoder);
      encoder.beginComputePass = () => begin(this.#next());
      try {
        record.call(gpu, encoder, ...rest);
      } finally {
        Reflect.deleteProperty(encoder, "beginComputePass");
      }
    };
  }

  #next(): GPUComputePassDescriptor {
    if (this.#passes === MOST_PASSES) throw new RangeError(`more than ${MOST_PASSES} passes to time`);
    const at = 2 * this.#passes++;
    const querySet = this.#queries;
    return {
      timestampWrites: { querySet, beginningOfPassWriteIndex: at, endOfPassWriteIndex: at + 1 },
    };
  }

  /** Returns the total milliseconds of all passes. */
  async milliseconds(): Promise<number> {
    const encoder = this.#gpu.device.createCommandEncoder();
    if (this.#passes > 0) encoder.resolveQuerySet(this.#queries, 0, 2 * this.#passes, this.#stamps, 0);
    this.#gpu.device.queue.submit([encoder.finish()]);
    const stamps = new BigUint64Array(await this.#gpu.read(this.#stamps, 0, 16 * Math.max(1, this.#passes)));
    let nanoseconds = 0n;
    for (let i = 0; i < 2 * this.#passes; i += 2) nanoseconds += stamps[i + 1]! - stamps[i]!;
    return Number(nanoseconds) / 1e6;
  }

  close(): void {
    Reflect.deleteProperty(this.#gpu, "record");
    this.#queries.destroy();
    this.#stamps.destroy();
  }
}
