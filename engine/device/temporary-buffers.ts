import type { KernelHost } from "../../kernels/kernel.ts";
import type { Gpu } from "./gpu.ts";

/**
 * Buffers for one task, destroyed together when it ends. Kernels made with {@link host} add their own uniforms to them.
 */
export class TemporaryBuffers {
  readonly host: KernelHost;
  readonly #gpu: Gpu;
  readonly #purpose: string;
  readonly #buffers: GPUBuffer[] = [];

  /** @param purpose the first word of its buffers' labels */
  constructor(gpu: Gpu, purpose: string) {
    this.#gpu = gpu;
    this.#purpose = purpose;
    this.host = {
      device: gpu.device,
      rowsPerWorkgroup: gpu.rowsPerWorkgroup,
      sharedLoadLanes: gpu.sharedLoadLanes,
      weightLayout: gpu.weightLayout,
      productTiles: gpu.productTiles,
      bindingBytes: gpu.bindingBytes,
      pipeline: (kernel, overrides) => gpu.pipeline(kernel, overrides),
      uniform: (label, data) => this.#keep(gpu.uniform(label, data)),
    };
  }

  /** A storage buffer of `words` zeroed 32-bit words. */
  words(label: string, words: number): GPUBuffer {
    return this.#keep(this.#gpu.storage(`${this.#purpose} ${label}`, 4 * words));
  }

  /** A storage buffer holding `data`. */
  upload(label: string, data: ArrayBufferView<ArrayBuffer>): GPUBuffer {
    return this.#keep(this.#gpu.upload(`${this.#purpose} ${label}`, data));
  }

  /** Bytes of all its buffers. */
  get bytes(): number {
    return this.#buffers.reduce((sum, { size }) => sum + size, 0);
  }

  #keep(buffer: GPUBuffer): GPUBuffer {
    this.#buffers.push(buffer);
    return buffer;
  }

  destroy(): void {
    for (const buffer of this.#buffers) buffer.destroy();
  }
}
