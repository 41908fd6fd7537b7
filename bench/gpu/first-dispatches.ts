import type { Gpu } from "../../engine/device/gpu.ts";
import { type Dispatch, dispatch, Kernel } from "../../kernels/kernel.ts";
import type { BenchCase } from "../harness/case.ts";
import { less } from "../harness/row.ts";
import { inTurns } from "../harness/statistics.ts";
import { Given } from "../kernels/given.ts";

const empty = new Kernel("bench-empty", "@compute @workgroup_size(1)\nfn main() {}");

const ONCE = { rows: 1, length: 1 };
const COUNT = 1000;

/** Dispatches of a kernel that does nothing: in one pass, and each in a pass of its own. */
export const firstDispatches: BenchCase = {
  group: "gpu",
  name: "first dispatches",
  onlyNamed: true,
  open({ gpu, rounds, timer }) {
    const given = new Given(gpu);
    const clock = new PassesClock(gpu);
    const one = dispatch(given.host, empty, {}, [], () => [1, 1]);
    const list = Array.from({ length: COUNT }, () => one);
    return {
      async check() {
        given.submit(list, ONCE);
        await gpu.settle();
      },
      async measure() {
        const [first, together, apart] = await inTurns(
          [
            () => clock.microseconds([[one]]),
            () => clock.microseconds([list]),
            () => clock.microseconds(list.map((each) => [each])),
          ],
          3 * rounds,
        );
        const per = (of: typeof first) => ({
          median: of!.median / COUNT,
          low: of!.low / COUNT,
          high: of!.high / COUNT,
        });
        const how = { timed: timer.timed };
        return [
          less("one empty dispatch, with its pass", first!, "µs", how),
          less("an empty dispatch in a pass of many", per(together), "µs", how),
          less("an empty dispatch in a pass of its own", per(apart), "µs", how),
        ];
      },
      close() {
        clock.destroy();
        given.destroy();
      },
    };
  },
};

/** Times several compute passes of one submission, by the GPU's timestamps if it has them. */
class PassesClock {
  readonly #gpu: Gpu;
  readonly #querySet: GPUQuerySet | undefined;
  readonly #stamps: GPUBuffer | undefined;

  constructor(gpu: Gpu) {
    this.#gpu = gpu;
    if (!gpu.device.features.has("timestamp-query")) return;
    this.#querySet = gpu.device.createQuerySet({ type: "timestamp", count: 2 });
    this.#stamps = gpu.buffer("timestamps", 16, GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC);
  }

  /** From the beginning of the first pass to the end of the last one. */
  async microseconds(passes: readonly (readonly Dispatch[])[]): Promise<number> {
    const { device } = this.#gpu;
    const encoder = device.createCommandEncoder();
    for (const [i, list] of passes.entries()) {
      const pass = encoder.beginComputePass(this.#writes(i, passes.length));
      for (const { pipeline, bindGroup, grid } of list) {
        const [x, y] = grid(ONCE);
        pass.setPipeline(pipeline);
        pass.setBindGroup(0, bindGroup);
        pass.dispatchWorkgroups(x, y);
      }
      pass.end();
    }
    if (this.#querySet && this.#stamps) encoder.resolveQuerySet(this.#querySet, 0, 2, this.#stamps, 0);
    const commands = encoder.finish();
    const start = performance.now();
    device.queue.submit([commands]);
    if (!this.#stamps) {
      await device.queue.onSubmittedWorkDone();
      return 1000 * (performance.now() - start);
    }
    const [begin = 0n, end = 0n] = new BigUint64Array(await this.#gpu.read(this.#stamps));
    return Number(end - begin) / 1000;
  }

  #writes(pass: number, count: number): GPUComputePassDescriptor {
    const querySet = this.#querySet;
    if (!querySet || (pass > 0 && pass < count - 1)) return {};
    return {
      timestampWrites: {
        querySet,
        ...(pass === 0 && { beginningOfPassWriteIndex: 0 }),
        ...(pass === count - 1 && { endOfPassWriteIndex: 1 }),
      },
    };
  }

  destroy(): void {
    this.#querySet?.destroy();
    this.#stamps?.destroy();
  }
}
