import type { Gpu } from "../../engine/device/gpu.ts";
import { TemporaryBuffers } from "../../engine/device/temporary-buffers.ts";
import type { Dispatch, KernelHost, RunShape } from "../../kernels/kernel.ts";
import { type Matrix, matrixBytes, type WeightFormat } from "../../kernels/matrix.ts";
import { packWeight } from "../../kernels/pack-weight/pack-weight.ts";
import { encodeRun, runUniform, type StreamPlace } from "../../kernels/run.ts";
import { seeded } from "../random.ts";

/** The most bytes of a matrix that are uploaded at once. */
const PART = 32 * 2 ** 20;

/** `count` f32 numbers, uniform between `low` and `high`. */
export function randomFloats(seed: number, count: number, low = -1, high = 1): Float32Array<ArrayBuffer> {
  const next = seeded(seed);
  const values = new Float32Array(count);
  for (let i = 0; i < count; i++) values[i] = low + (high - low) * next();
  return values;
}

/** `count` whole numbers from 0 to `below` − 1. */
export function randomIntegers(seed: number, count: number, below: number): Uint32Array<ArrayBuffer> {
  const next = seeded(seed);
  return Uint32Array.from({ length: count }, () => Math.floor(below * next()));
}

/** The buffers that kernels are measured with; {@link Given.destroy} frees them. */
export class Given {
  readonly gpu: Gpu;
  readonly host: KernelHost;
  readonly #scratch: TemporaryBuffers;
  readonly #large: GPUBuffer[] = [];

  constructor(gpu: Gpu) {
    this.gpu = gpu;
    this.#scratch = new TemporaryBuffers(gpu, "bench");
    this.host = this.#scratch.host;
  }

  /** `count` zeroed 32-bit words. */
  words(label: string, count: number): GPUBuffer {
    return this.#scratch.words(label, count);
  }

  upload(label: string, data: ArrayBufferView<ArrayBuffer>): GPUBuffer {
    return this.#scratch.upload(label, data);
  }

  /** `Run` of `lib/run.wgsl`: streams in neighbouring slots, all at `position`. */
  run(shape: RunShape, position = 0): GPUBuffer {
    const places = Array.from(
      { length: shape.rows / shape.length },
      (_, slot): StreamPlace => ({ slot, position }),
    );
    const run = runUniform(this.host, "run");
    this.gpu.device.queue.writeBuffer(run, 0, encodeRun(shape, places));
    return run;
  }

  /** `Schedule` of `lib/run.wgsl` at its first step; `angles` `[rows, layers, 4]`. */
  schedule(angles: Float32Array | readonly number[] = [0, 0, 0, 0]): GPUBuffer {
    const data = new Float32Array(4 + angles.length);
    data.set(angles, 4);
    return this.upload("schedule", data);
  }

  /** `Block` of `lib/block.wgsl` for the first layer. */
  block(alpha: number, gain: number): GPUBuffer {
    return this.host.uniform("block", Float32Array.of(0, alpha, gain, 0));
  }

  /**
   * `values` `[rows, columns]` as a matrix, packed in several pieces if it is large.
   * @param gated whether to put the rows of the two halves side by side
   */
  matrix(
    values: Float32Array<ArrayBuffer>,
    [rows, columns]: readonly [number, number],
    format: WeightFormat,
    gated = false,
  ): Matrix {
    const weight = this.#empty(rows, columns, format);
    const step = Math.max(1, Math.floor(PART / (4 * columns)));
    for (let first = 0; first < rows; first += step) {
      const part = values.subarray(first * columns, (first + step) * columns);
      const count = part.length / columns;
      const matrix = this.gpu.upload("bench matrix", part);
      const places = this.gpu.upload(
        "bench places",
        Uint32Array.from({ length: count }, (_, row) =>
          gated ? sideBySide(first + row, rows) : first + row,
        ),
      );
      this.submit(packWeight(this.host, { matrix, rows: count, weight, places }), { rows: 1, length: 1 });
      matrix.destroy();
      places.destroy();
    }
    return weight;
  }

  /** A copy with the same contents. */
  copyOf({ buffer, rows, columns, format }: Matrix): Matrix {
    const copy = this.#empty(rows, columns, format);
    const encoder = this.gpu.device.createCommandEncoder();
    const bytes = matrixBytes(rows, columns, format, copy.layout);
    encoder.copyBufferToBuffer(buffer, 0, copy.buffer, 0, bytes);
    this.gpu.device.queue.submit([encoder.finish()]);
    return copy;
  }

  #empty(rows: number, columns: number, format: WeightFormat): Matrix {
    const layout = this.host.weightLayout;
    const bytes = matrixBytes(rows, columns, format, layout);
    const buffer = this.gpu.storage("bench weight", bytes, "in parts");
    this.#large.push(buffer);
    return { buffer, rows, columns, format, layout };
  }

  submit(list: readonly Dispatch[], run: RunShape): void {
    const encoder = this.gpu.device.createCommandEncoder();
    this.gpu.record(encoder, list, run);
    this.gpu.device.queue.submit([encoder.finish()]);
  }

  floats(buffer: GPUBuffer, offset?: number, count?: number): Promise<Float32Array> {
    return this.gpu.readFloats(buffer, offset, count);
  }

  async integers(buffer: GPUBuffer): Promise<Uint32Array> {
    return new Uint32Array(await this.gpu.read(buffer));
  }

  destroy(): void {
    for (const buffer of this.#large) buffer.destroy();
    this.#scratch.destroy();
  }
}

/** Where a row goes if the rows of the two halves lie side by side. */
const sideBySide = (row: number, rows: number): number => (row < rows / 2 ? 2 * row : 2 * row - rows + 1);
