import type { Gpu } from "../device/gpu.ts";

/** Buffers of one size that results are read back through. One is made when none is free, and used again. */
export class ReadBackPool {
  readonly #gpu: Gpu;
  readonly #make: () => GPUBuffer;
  readonly #free: GPUBuffer[] = [];

  constructor(gpu: Gpu, make: () => GPUBuffer) {
    this.#gpu = gpu;
    this.#make = make;
  }

  /** Makes the first buffer now, if there is none. */
  reserve(): void {
    if (this.#free.length === 0) this.#free.push(this.#make());
  }

  /** A buffer to copy results to; {@link read} gives it back. */
  take(): GPUBuffer {
    return this.#free.pop() ?? this.#make();
  }

  /** The first `size` bytes of a buffer from {@link take}, after the commands submitted so far. */
  async read(buffer: GPUBuffer, size: number): Promise<ArrayBuffer> {
    await this.#gpu.map(buffer);
    const bytes = buffer.getMappedRange(0, size).slice(0);
    buffer.unmap();
    this.#free.push(buffer);
    return bytes;
  }
}
