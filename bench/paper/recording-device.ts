import { Gpu } from "../../engine/device/gpu.ts";

/** One dispatch as it was recorded: the kernel's name and text, its overrides, and its workgroups. */
export interface Recorded {
  readonly kernel: string;
  readonly code: string;
  readonly overrides: Readonly<Record<string, number>>;
  readonly workgroups: number;
}

interface Pipeline extends Omit<Recorded, "workgroups"> {
  getBindGroupLayout(): object;
}

/** Limits that an NVIDIA GPU has in Dawn, and subgroups of 32. */
const LIMITS = {
  maxBufferSize: 2 ** 40,
  maxStorageBufferBindingSize: 2 ** 32 - 4,
  maxComputeWorkgroupStorageSize: 48 * 2 ** 10,
  maxComputeInvocationsPerWorkgroup: 1024,
  maxStorageBuffersPerShaderStage: 16,
};

/** Opens a `Gpu` that computes nothing: it takes every call, and keeps what its passes dispatch in `dispatches`. */
export async function openRecordingGpu(): Promise<{ gpu: Gpu; dispatches: Recorded[] }> {
  const dispatches: Recorded[] = [];
  const constants = {
    GPUBufferUsage: {
      MAP_READ: 1,
      MAP_WRITE: 2,
      COPY_SRC: 4,
      COPY_DST: 8,
      UNIFORM: 64,
      STORAGE: 128,
      QUERY_RESOLVE: 512,
    },
    GPUMapMode: { READ: 1, WRITE: 2 },
  };
  for (const [name, value] of Object.entries(constants)) {
    if (!(name in globalThis))
      Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
  }
  const device = taking({
    limits: LIMITS,
    features: new Set(["subgroups"]),
    lost: new Promise(() => undefined),
    queue: taking({ onSubmittedWorkDone: () => Promise.resolve() }),
    popErrorScope: () => Promise.resolve(null),
    createBuffer: ({ label, size }: { label: string; size: number }) =>
      taking({ label, size, mapAsync: () => new Promise(() => undefined) }),
    createShaderModule: ({ code }: { code: string }) => ({
      code,
      getCompilationInfo: async () => ({ messages: [] }),
    }),
    createBindGroup: () => ({}),
    createComputePipeline: ({ label, compute }: PipelineDescriptor): Pipeline => ({
      kernel: label,
      code: compute.module.code,
      overrides: compute.constants,
      getBindGroupLayout: () => ({}),
    }),
    createCommandEncoder: () => taking({ finish: () => ({}), beginComputePass: () => passOf(dispatches) }),
  });
  const adapter = {
    info: { vendor: "nvidia", architecture: "", device: "", description: "paper", subgroupMinSize: 32 },
    features: new Set(["subgroups"]),
    limits: LIMITS,
    requestDevice: async () => device,
  };
  return { gpu: await Gpu.open(adapter as unknown as GPUAdapter), dispatches };
}

interface PipelineDescriptor {
  readonly label: string;
  readonly compute: {
    readonly module: { readonly code: string };
    readonly constants: Record<string, number>;
  };
}

function passOf(dispatches: Recorded[]): object {
  let pipeline: Pipeline | undefined;
  return taking({
    setPipeline: (next: Pipeline) => {
      pipeline = next;
    },
    dispatchWorkgroups: (x: number, y = 1, z = 1) => {
      if (!pipeline) throw new Error("a dispatch without a pipeline");
      const { kernel, code, overrides } = pipeline;
      dispatches.push({ kernel, code, overrides, workgroups: x * y * z });
    },
  });
}

/** An object that also has every other method; those do nothing. */
const taking = (known: object): object =>
  new Proxy(known, {
    get: (of, key) =>
      Reflect.get(of, key) ?? (typeof key === "string" && key !== "then" ? () => undefined : undefined),
    set: (of, key, value) => Reflect.set(of, key, value),
  });
