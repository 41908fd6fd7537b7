import type { Gpu } from "./gpu.ts";

/** A pool of read-back buffers of one size. It allocates a buffer when none is free, and reuses it. */
export class ReadBackPool {
  readonly #gpu: Gpu;
  readonly #make: () => GPUBuffer;
  readonly #free: GPUBuffer[] = [];

  constructor(gpu: Gpu, make: () => GPUBuffer) {
    this.#gpu = gpu;
    this.#make = make;
  }

  /** Allocates a buffer now if none is free. */
  reserve(): void {
    if (this.#free.length === 0) this.#free.push(this.#make());
  }

  /** Returns a buffer to copy results to. {@link read} gives it back. */
  take(): GPUBuffer {
    return this.#free.pop() ?? this.#make();
  }

  /** Reads the first `size` bytes of a buffer from {@link take} when all commands submitted so far are done. */
  async read(buffer: GPUBuffer, size: number): Promise<ArrayBuffer> {
    await this.#gpu.map(buffer);
    const bytes = buffer.getMappedRange(0, size).slice(0);
    buffer.unmap();
    this.#free.push(buffer);
    return bytes;
  }
}
