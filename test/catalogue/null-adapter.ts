import { globals } from "webgpu";

/** Buffers up to this size keep what is written to them; larger ones read as zeros, and take no memory. */
const KEPT_BYTES = 2 ** 20;

export interface NullAdapterOptions {
  /** The vendor that it reports: it decides the device's kind. */
  readonly vendor?: string;
  /** Lanes of its smallest subgroup; 0: it has no subgroups. Default 0. */
  readonly subgroupSize?: number;
  /** Limits above WebGPU's defaults. */
  readonly limits?: Readonly<Record<string, number>>;
}

/**
 * A WebGPU adapter that computes nothing: whole models run on it in milliseconds, and whatever a kernel should write stays
 * zero. For tests of what is asked of a device, not of what comes out.
 */
export function nullAdapter({
  vendor = "",
  subgroupSize = 0,
  limits = {},
}: NullAdapterOptions = {}): GPUAdapter {
  for (const [name, value] of Object.entries(globals)) {
    if (!(name in globalThis)) Object.defineProperty(globalThis, name, { value, configurable: true });
  }
  const info = {
    vendor,
    architecture: "",
    device: "",
    description: "computes nothing",
    subgroupMinSize: subgroupSize,
    subgroupMaxSize: subgroupSize,
    isFallbackAdapter: false,
  };
  const features = new Set(subgroupSize > 0 ? ["subgroups"] : []);
  const all = { ...defaultLimits, ...limits };
  const adapter = {
    info,
    features,
    limits: all,
    requestDevice: async () => nullDevice(features, all),
  };
  return adapter as unknown as GPUAdapter;
}

/** WebGPU's default limits, as far as the engine reads them. */
const defaultLimits = {
  maxBufferSize: 2 ** 28,
  maxStorageBufferBindingSize: 2 ** 27,
  maxComputeWorkgroupStorageSize: 16384,
  maxStorageBuffersPerShaderStage: 8,
};

class NullBuffer {
  readonly label: string;
  readonly size: number;
  readonly usage: number;
  #bytes: Uint8Array<ArrayBuffer> | undefined;

  constructor({ label = "", size, usage }: GPUBufferDescriptor) {
    this.label = label;
    this.size = size;
    this.usage = usage;
  }

  write(at: number, bytes: Uint8Array): void {
    if (this.size <= KEPT_BYTES) this.#own().set(bytes, at);
  }

  bytes(at = 0, size = this.size - at): Uint8Array<ArrayBuffer> {
    return this.size <= KEPT_BYTES ? this.#own().subarray(at, at + size) : new Uint8Array(size);
  }

  #own(): Uint8Array<ArrayBuffer> {
    this.#bytes ??= new Uint8Array(this.size);
    return this.#bytes;
  }

  async mapAsync(): Promise<undefined> {}

  getMappedRange(at?: number, size?: number): ArrayBuffer {
    return this.bytes(at, size).slice().buffer;
  }

  unmap(): void {}

  destroy(): void {}
}

function nullDevice(features: ReadonlySet<string>, limits: Readonly<Record<string, number>>): unknown {
  const nothing = (): undefined => undefined;
  const pass = {
    setPipeline: nothing,
    setBindGroup: nothing,
    dispatchWorkgroups: nothing,
    end: nothing,
  };
  return {
    features,
    limits,
    lost: new Promise(nothing),
    addEventListener: nothing,
    destroy: nothing,
    pushErrorScope: nothing,
    popErrorScope: async () => null,
    createBuffer: (descriptor: GPUBufferDescriptor) => new NullBuffer(descriptor),
    createShaderModule: () => ({ getCompilationInfo: async () => ({ messages: [] }) }),
    createComputePipeline: () => ({ getBindGroupLayout: () => ({}) }),
    createBindGroup: () => ({}),
    createQuerySet: () => ({ destroy: nothing }),
    // Copies happen at once: nothing else writes, so the order does not matter.
    createCommandEncoder: () => ({
      beginComputePass: () => pass,
      copyBufferToBuffer: (from: NullBuffer, at: number, to: NullBuffer, into: number, size: number) =>
        to.write(into, from.bytes(at, size)),
      clearBuffer: (buffer: NullBuffer, at?: number, size?: number) =>
        buffer.write(at ?? 0, new Uint8Array(size ?? buffer.size - (at ?? 0))),
      resolveQuerySet: nothing,
      finish: () => ({}),
    }),
    queue: {
      submit: nothing,
      onSubmittedWorkDone: async () => undefined,
      writeBuffer(
        buffer: NullBuffer,
        at: number,
        data: ArrayBuffer | ArrayBufferView,
        from = 0,
        count?: number,
      ) {
        const view = ArrayBuffer.isView(data);
        const unit = view && "BYTES_PER_ELEMENT" in data ? Number(data.BYTES_PER_ELEMENT) : 1;
        const start = (view ? data.byteOffset : 0) + from * unit;
        const size = count === undefined ? data.byteLength - from * unit : count * unit;
        buffer.write(at, new Uint8Array(view ? data.buffer : data, start, size));
      },
    },
  };
}
