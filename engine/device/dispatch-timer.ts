import type { Dispatch, RunShape } from "../../kernels/kernel.ts";
import { type Gpu, recordInto } from "./gpu.ts";

/** GPU work to measure: one list of dispatches, run in order, or several lists that take turns. */
export interface GpuWork {
  readonly lists: readonly (readonly Dispatch[])[];
  readonly run: RunShape;
}

/** Maximum number of runs in one sample. */
const MOST_REPEATS = 20_000;

/**
 * Times dispatches: runs a list many times in one compute pass. Uses the GPU's timestamps if the device has them, otherwise
 * the host's clock between submission and completion.
 */
export class DispatchTimer {
  readonly timed: "gpu" | "host";
  readonly #gpu: Gpu;
  readonly #queries: GPUQuerySet | undefined;
  readonly #stamps: GPUBuffer | undefined;

  constructor(gpu: Gpu) {
    this.#gpu = gpu;
    this.timed = gpu.device.features.has("timestamp-query") ? "gpu" : "host";
    if (this.timed === "host") return;
    this.#queries = gpu.device.createQuerySet({ type: "timestamp", count: 2 });
    this.#stamps = gpu.buffer("timestamps", 16, GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC);
  }

  /** Returns the microseconds of one run of a list: the mean of `repeats` runs. */
  async sample({ lists, run }: GpuWork, repeats: number): Promise<number> {
    const { device } = this.#gpu;
    const querySet = this.#queries;
    const { submit } = this.#gpu.prepare((encoder) => {
      const pass = encoder.beginComputePass(
        querySet
          ? { timestampWrites: { querySet, beginningOfPassWriteIndex: 0, endOfPassWriteIndex: 1 } }
          : {},
      );
      for (let i = 0; i < repeats; i++) {
        recordInto(pass, lists[i % lists.length]!, run);
      }
      pass.end();
      if (querySet && this.#stamps) encoder.resolveQuerySet(querySet, 0, 2, this.#stamps, 0);
    });
    const start = performance.now();
    submit();
    if (!this.#stamps) {
      await device.queue.onSubmittedWorkDone();
      return ((performance.now() - start) * 1000) / repeats;
    }
    const [begin = 0n, end = 0n] = new BigUint64Array(await this.#gpu.read(this.#stamps));
    return Number(end - begin) / 1000 / repeats;
  }

  /** Returns how many runs of `work` take about `milliseconds`, at least 1. */
  async repeatsFor(work: GpuWork, milliseconds: number): Promise<number> {
    const wanted = milliseconds * 1000;
    for (let repeats = 1; ; ) {
      const took = Math.max(1, (await this.sample(work, repeats)) * repeats);
      const enough = Math.min(MOST_REPEATS, Math.ceil((repeats * wanted) / took));
      if (took >= wanted / 4 || enough <= repeats || repeats === MOST_REPEATS) return Math.max(1, enough);
      repeats = Math.min(enough, 16 * repeats);
    }
  }

  destroy(): void {
    this.#queries?.destroy();
    this.#stamps?.destroy();
  }
}
