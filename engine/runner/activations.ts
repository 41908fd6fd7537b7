import type { RunShape } from "../../kernels/kernel.ts";
import { logprobsBytes, TOP_LOGPROBS } from "../../kernels/logprobs/logprobs.ts";
import { CHUNK } from "../../kernels/memory-scan/memory-scan.ts";
import { encodeRun, runUniform, type StreamPlace } from "../../kernels/run.ts";
import { SAMPLING_BYTES } from "../../kernels/sample/sample.ts";
import type { BlockConstants } from "../config.ts";
import type { Gpu } from "../device/gpu.ts";
import { writeAngles } from "../phase.ts";

/** The GPU buffers of a pass or of a run of steps: allocated once, for at most `rows` rows and `steps` steps. */
export class Activations {
  readonly #gpu: Gpu;
  readonly rows: number;
  readonly steps: number;
  readonly layers: number;
  /** `Run` and `Schedule` of `kernels/lib/run.wgsl`. */
  readonly run: GPUBuffer;
  readonly schedule: GPUBuffer;
  /** `[rows]` u32. */
  readonly tokens: GPUBuffer;
  /** `[rows, D]`. */
  readonly h: GPUBuffer;
  /** x = LN1(h) and u: `[rows, 2, D]`. */
  readonly mixed: GPUBuffer;
  /** c, then LN3(h'); h between blocks of a decode step: `[rows, D]`. */
  readonly normed: GPUBuffer;
  /** `[rows, 2, D]`. */
  readonly gates: GPUBuffer;
  /** m and z: `[rows, 2, D]`. */
  readonly memory: GPUBuffer;
  /** `[rows, D]`. */
  readonly plm: GPUBuffer;
  /** `[chunks, ⌈D/2⌉, 4]`. */
  readonly ends: GPUBuffer;
  /** `[rows, M]`. */
  readonly inner: GPUBuffer;
  /** `[logitRows, V]`. */
  readonly logits: GPUBuffer;
  /** `[steps, rows, layers, 4]`. */
  readonly metrics: GPUBuffer;
  /** `[rows]` of `Sampling`. */
  readonly sampling: GPUBuffer;
  /** Sampled tokens, `[steps, rows]` u32. */
  readonly results: GPUBuffer;
  /** `[steps, rows]` of `decodeLogprobs`, with as many entries as a run asks for. */
  readonly logprobs: GPUBuffer;

  constructor(
    gpu: Gpu,
    shape: { readonly size: number; readonly inner: number },
    layers: number,
    size: { rows: number; steps: number; vocabulary: number; logitRows: number },
  ) {
    const { rows, steps } = size;
    const d = shape.size;
    const floats = (label: string, count: number): GPUBuffer => gpu.storage(label, count * 4);
    this.#gpu = gpu;
    this.rows = rows;
    this.steps = steps;
    this.layers = layers;
    this.run = runUniform(gpu, "run");
    // Kernels are bound to these buffers even if the model has no blocks, so there is room for at least one.
    const measures = steps * rows * Math.max(1, layers) * 4;
    this.schedule = floats("schedule", 4 + measures);
    this.tokens = floats("tokens", rows);
    this.h = floats("h", rows * d);
    this.mixed = floats("mixed", rows * 2 * d);
    this.normed = floats("normed", rows * d);
    this.gates = floats("gates", rows * 2 * d);
    this.memory = floats("memory", rows * 2 * d);
    this.plm = floats("plm", rows * d);
    // A stream of length 1 is one chunk and stores no end; longer streams have at most two chunks per CHUNK + 1 rows.
    this.ends = floats("ends", Math.ceil((2 * rows) / CHUNK + 2) * Math.ceil(d / 2) * 4);
    this.inner = floats("inner", rows * shape.inner);
    this.logits = floats("logits", size.logitRows * size.vocabulary);
    this.metrics = floats("metrics", measures);
    this.sampling = gpu.storage("sampling", rows * SAMPLING_BYTES);
    this.results = floats("results", steps * rows);
    this.logprobs = gpu.storage("logprobs", steps * rows * logprobsBytes(TOP_LOGPROBS));
  }

  /**
   * Writes the `Run` and `Schedule` of a pass that feeds `length` tokens to each of `streams`, for `steps` steps.
   * @param firstStep the step counter before the first kernel: −1 if that is `embed`, which increments it, else 0
   */
  prepare(
    blocks: readonly { readonly constants: BlockConstants }[],
    streams: readonly StreamPlace[],
    length: number,
    steps = 1,
    firstStep: -1 | 0 = -1,
  ): RunShape {
    const { queue } = this.#gpu.device;
    const { layers } = this;
    const run = { rows: streams.length * length, length };
    const { rows } = run;
    const schedule = new Float32Array(4 + steps * rows * layers * 4);
    new Int32Array(schedule.buffer)[0] = firstStep;
    for (let step = 0; step < steps; step++) {
      for (let row = 0; row < rows; row++) {
        const t = streams[Math.floor(row / length)]!.position + step + (row % length);
        blocks.forEach(({ constants }, layer) => {
          writeAngles(schedule, 4 + ((step * rows + row) * layers + layer) * 4, constants, t);
        });
      }
    }
    queue.writeBuffer(this.run, 0, encodeRun(run, streams));
    queue.writeBuffer(this.schedule, 0, schedule);
    return run;
  }

  setTokens(tokens: ArrayLike<number>): void {
    this.#gpu.device.queue.writeBuffer(this.tokens, 0, Uint32Array.from(tokens));
  }
}
