import type { GpuWork } from "../../engine/device/dispatch-timer.ts";
import { TemporaryBuffers } from "../../engine/device/temporary-buffers.ts";
import { type Dispatch, dispatch, Kernel } from "../../kernels/kernel.ts";
import type { Bench, BenchCase } from "../harness/case.ts";
import { less, more } from "../harness/row.ts";
import { divided, inTurns, timed } from "../harness/statistics.ts";
import countSource from "./count.wgsl";
import fillSource from "./fill.wgsl";
import fmaSource from "./fma.wgsl";
import readSource from "./read.wgsl";

const kernels = {
  count: new Kernel("bench-count", countSource),
  fill: new Kernel("bench-fill", fillSource),
  fma: new Kernel("bench-fma", fmaSource),
  read: new Kernel("bench-read", readSource),
};

const ONCE = { rows: 1, length: 1 };
const MB = 2 ** 20;

const isSoftware = ({ gpu }: Bench): boolean => gpu.kind === "software";

/** Returns the bytes of a large buffer, at most as many as a kernel can bind. */
const largeBytes = (bench: Bench): number =>
  Math.min(
    bench.gpu.bindingBytes,
    bench.gpu.device.limits.maxBufferSize,
    (isSoftware(bench) ? 64 : 512) * MB,
  );

async function submit({ gpu }: Bench, list: readonly Dispatch[]): Promise<void> {
  const encoder = gpu.device.createCommandEncoder();
  gpu.record(encoder, list, ONCE);
  gpu.device.queue.submit([encoder.finish()]);
  await gpu.settle();
}

function fill(buffers: TemporaryBuffers, data: GPUBuffer): Dispatch {
  return dispatch(buffers.host, kernels.fill, {}, [data], () => [1024, 1]);
}

/** Returns the sum of the values that {@link fill} writes into `vectors` vectors. */
const sumOf = (vectors: number): number => {
  let sum = 3 * vectors;
  for (let i = 0; i < vectors; i++) sum += (i % 5) + (i % 3);
  return sum;
};

/** Chooses the number of repeats and measures the work in rounds; returns microseconds per run. */
async function rounds(bench: Bench, work: GpuWork) {
  const repeats = await bench.timer.repeatsFor(work, 2 * bench.sample);
  const [summary] = await inTurns([() => bench.timer.sample(work, repeats)], 3 * bench.rounds);
  return summary!;
}

const copy: BenchCase = {
  group: "ceilings",
  name: "copy",
  open(bench) {
    const { gpu } = bench;
    const buffers = new TemporaryBuffers(gpu, "copy's");
    const bytes = largeBytes(bench);
    const [from, to] = [buffers.words("source", bytes / 4), buffers.words("target", bytes / 4)];
    const copies = async (count: number): Promise<number> => {
      const encoder = gpu.device.createCommandEncoder();
      for (let i = 0; i < count; i++) encoder.copyBufferToBuffer(from, 0, to, 0, bytes);
      const commands = encoder.finish();
      return timed(count, async () => {
        gpu.device.queue.submit([commands]);
        await gpu.device.queue.onSubmittedWorkDone();
      });
    };
    return {
      async check() {
        await submit(bench, [fill(buffers, from)]);
        await copies(1);
        const tail = await gpu.read(to, bytes - 4096);
        const right = await gpu.read(from, bytes - 4096);
        if (Buffer.compare(new Uint8Array(tail), new Uint8Array(right)) !== 0) {
          throw new Error("the copy differs from its source");
        }
      },
      async measure() {
        // Uses the host's clock, because copies are outside of passes; lasts long enough that submitting does not matter.
        const count = Math.max(2, Math.ceil((8 * bench.sample) / (await copies(2))));
        const [summary] = await inTurns([() => copies(count)], 3 * bench.rounds);
        const rate = divided(2000 * bytes, summary!);
        bench.ceilings.bytesPerSecond = rate.high;
        const gigabytes = divided(2e-6 * bytes, summary!);
        return [more(`copy of ${bytes / MB} MiB, read and written`, gigabytes, "GB/s", { timed: "host" })];
      },
      close: () => buffers.destroy(),
    };
  },
};

const read: BenchCase = {
  group: "ceilings",
  name: "read",
  open(bench) {
    const { gpu } = bench;
    const buffers = new TemporaryBuffers(gpu, "read's");
    const bytes = largeBytes(bench);
    const groups = isSoftware(bench) ? 64 : 2048;
    const data = buffers.words("data", bytes / 4);
    const sums = buffers.words("sums", groups * 256);
    const list = [dispatch(buffers.host, kernels.read, {}, [data, sums], () => [groups, 1])];
    return {
      async check() {
        await submit(bench, [fill(buffers, data), ...list]);
        const found = (await gpu.readFloats(sums)).reduce((a, b) => a + b, 0);
        const right = sumOf(bytes / 16);
        if (found !== right) throw new Error(`the sum is ${found}, not ${right}`);
      },
      async measure() {
        const rate = divided(1e-3 * bytes, await rounds(bench, { lists: [list], run: ONCE }));
        return [more(`read of ${bytes / MB} MiB`, rate, "GB/s", { timed: bench.timer.timed })];
      },
      close: () => buffers.destroy(),
    };
  },
};

const fma: BenchCase = {
  group: "ceilings",
  name: "fma",
  open(bench) {
    const { gpu } = bench;
    const buffers = new TemporaryBuffers(gpu, "fma's");
    const groups = isSoftware(bench) ? 64 : 8192;
    const turns = isSoftware(bench) ? 128 : 512;
    const factors = buffers.upload("factors", Float32Array.of(1, 1));
    const out = buffers.words("out", groups * 64 * 4);
    const list = [dispatch(buffers.host, kernels.fma, { TURNS: turns }, [factors, out], () => [groups, 1])];
    return {
      async check() {
        await submit(bench, list);
        const found = await gpu.readFloats(out);
        const wrong = found.find((value) => value !== 64 * turns);
        if (wrong !== undefined) throw new Error(`a thread computed ${wrong}, not ${64 * turns}`);
      },
      async measure() {
        const flops = groups * 64 * turns * 512;
        const summary = await rounds(bench, { lists: [list], run: ONCE });
        bench.ceilings.flopsPerSecond = (1e6 * flops) / summary.low;
        const rate = divided(1e-3 * flops, summary);
        return [more("fused multiply-adds, vec4 f32", rate, "GFLOP/s", { timed: bench.timer.timed })];
      },
      close: () => buffers.destroy(),
    };
  },
};

const dispatches: BenchCase = {
  group: "ceilings",
  name: "dispatch",
  open(bench) {
    const { gpu } = bench;
    const buffers = new TemporaryBuffers(gpu, "dispatch's");
    const count = buffers.words("count", 4);
    const list = [dispatch(buffers.host, kernels.count, {}, [count], () => [1, 1])];
    const work = { lists: [list], run: ONCE };
    const many = Array.from({ length: 1000 }, () => list[0]!);
    return {
      async check() {
        await submit(bench, many);
        const [found] = new Uint32Array(await gpu.read(count));
        if (found !== many.length) throw new Error(`${found} of ${many.length} dispatches were run`);
      },
      async measure() {
        const summary = await rounds(bench, work);
        bench.ceilings.dispatch = summary.low;
        const [recording, trip] = await inTurns(
          [
            async () => {
              const encoder = gpu.device.createCommandEncoder();
              const start = performance.now();
              gpu.record(encoder, many, ONCE);
              const took = performance.now() - start;
              encoder.finish();
              return took; // milliseconds of 1000 dispatches are microseconds of one
            },
            () => timed(1, () => gpu.read(count, 0, 4)).then((milliseconds) => 1000 * milliseconds),
          ],
          3 * bench.rounds,
        );
        return [
          less("a dispatch of one thread, after another", summary, "µs", { timed: bench.timer.timed }),
          less("recording a dispatch, JavaScript", recording!, "µs", { timed: "host" }),
          less("submitting and reading 4 bytes back", trip!, "µs", { timed: "host" }),
        ];
      },
      close: () => buffers.destroy(),
    };
  },
};

/**
 * Measures the best that this device can do, with which all other figures are compared. A ceiling is the better quartile of
 * its rounds, because other work on the machine can only slow it down.
 */
export const ceilingCases: readonly BenchCase[] = [copy, read, fma, dispatches];
