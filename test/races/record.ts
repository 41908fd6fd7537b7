import { Gpu } from "../../engine/device/gpu.ts";
import { defaultTuning } from "../../engine/device/tuning.ts";
import { requestAdapter } from "../../engine/platform/node/device.ts";
import type { Kernel, KernelHost } from "../../kernels/kernel.ts";
import { encodeOrder, type Order, reordered, usual } from "./rewrite.ts";

/** Dispatches that are kept of each pipeline. */
const MOST_KEPT = 4;
/** Those that bind more are not kept. */
const MOST_BYTES = 32 * 2 ** 20;
/** Whether a kernel reads other weights than f32: it differs from that for f32 in the reading alone. */
const otherFormat = ({ name }: Kernel): boolean => /-(?:f16|q8|q4)$/.test(name);
type Overrides = Readonly<Record<string, number | boolean>>;

/**
 * What a product does with its sums has no part in races, but each of these takes seconds to compile for a tile. So a tile
 * only stores them, or multiplies neighbours (1; 8 does so too).
 */
function simplified({ code }: Kernel, overrides: Overrides): Overrides {
  const { EPILOGUE } = overrides;
  if (EPILOGUE === undefined || !code.includes("fn store_four(")) return overrides;
  return { ...overrides, EPILOGUE: EPILOGUE === 1 || EPILOGUE === 8 ? 1 : 0 };
}

/** A dispatch with what its buffers held before it. */
export interface RecordedDispatch {
  readonly grid: readonly [number, number];
  readonly bindings: readonly { buffer: number; offset: number; size: number | undefined }[];
  /** A copy of each buffer that it binds. */
  readonly buffers: readonly { copy: GPUBuffer; usage: GPUBufferUsageFlags; written: boolean }[];
}

/** A kernel with one set of overrides, and some of its dispatches. */
export interface RecordedKernel {
  readonly kernel: Kernel;
  readonly overrides: Overrides;
  /** Of the reordered text. */
  readonly pipeline: GPUComputePipeline;
  readonly dispatches: RecordedDispatch[];
}

/**
 * A device whose kernels are {@link reordered} ones, in the usual order, and which keeps some dispatches of each. To save
 * time, a kernel for weights in f16, q8 or q4 runs with one set of overrides only, the first, and its other
 * dispatches do nothing; tiles are {@link simplified}. So what a model computes means little.
 */
export interface Recording {
  readonly gpu: Gpu;
  /** Every kernel and set of overrides that has been dispatched. @throws Error if a kernel was not compiled */
  readonly recorded: () => Promise<readonly RecordedKernel[]>;
}

/**
 * Opens a device that records, and whose lanes share no loads.
 * @param kind what the device takes itself for
 * @param host what else it takes itself for
 */
export async function openRecording(
  kind: "software" | "a GPU",
  host: Partial<Pick<KernelHost, "weightLayout" | "productTiles">> = {},
): Promise<Recording> {
  const adapter = await requestAdapter();
  const { subgroupMinSize } = adapter.info;
  const reported = { vendor: "", architecture: "", device: "", subgroupMinSize, isFallbackAdapter: false };
  const feigned = new Proxy(adapter, {
    get(of, key) {
      if (key === "info") return { ...reported, description: kind === "software" ? "llvmpipe" : kind };
      const value: unknown = Reflect.get(of, key, of);
      return typeof value === "function" ? value.bind(of) : value;
    },
  });
  const gpu = await Gpu.open(
    feigned,
    "recording",
    defaultTuning(kind === "software" ? "software" : "gpu", 0, 0),
  );
  for (const [name, value] of Object.entries(host)) Object.defineProperty(gpu, name, { value });
  return record(gpu);
}

function record(gpu: Gpu): Recording {
  const { device } = gpu;
  const known = new Map<string, RecordedKernel>();
  const once = new Set<string>();
  const asked = new WeakMap<GPUComputePipeline, { kernel: Kernel; overrides: Overrides }>();
  const bound = new WeakMap<GPUBindGroup, readonly GPUBufferBinding[]>();
  const orderGroups = new OrderGroups(device);
  const errors: Promise<string | undefined>[] = [];

  const { buffer } = gpu;
  gpu.buffer = (label, size, usage, how) => {
    const mapped = usage & (GPUBufferUsage.MAP_READ | GPUBufferUsage.MAP_WRITE);
    return buffer.call(gpu, label, size, mapped ? usage : usage | GPUBufferUsage.COPY_SRC, how);
  };
  const createBindGroup = device.createBindGroup.bind(device);
  device.createBindGroup = (descriptor) => {
    const group = createBindGroup(descriptor);
    const entries = [...descriptor.entries].sort((a, b) => a.binding - b.binding);
    const buffers = entries.map(({ resource }) => resource as GPUBuffer | GPUBufferBinding);
    bound.set(
      group,
      buffers.map((resource) => ("buffer" in resource ? resource : { buffer: resource })),
    );
    return group;
  };
  // What asks for a pipeline uses its layout alone, until it is dispatched. Many never are.
  gpu.pipeline = (kernel, overrides) => {
    const [layout] = layoutsOf(device, kernel.code);
    const standIn: Partial<GPUComputePipeline> = { label: kernel.name, getBindGroupLayout: () => layout };
    asked.set(standIn as GPUComputePipeline, { kernel, overrides });
    return standIn as GPUComputePipeline;
  };
  const dispatched = (standIn: GPUComputePipeline): RecordedKernel | undefined => {
    const { kernel, overrides: given } = asked.get(standIn)!;
    const overrides = simplified(kernel, given);
    const key = JSON.stringify([kernel.code, overrides]);
    let found = known.get(key);
    if (!found && !(otherFormat(kernel) && once.has(kernel.code))) {
      const { pipeline, error } = compile(device, kernel.code, overrides);
      errors.push(error.then((message) => message && `${kernel.name}: ${message}`));
      found = { kernel, overrides, pipeline, dispatches: [] };
      known.set(key, found);
      once.add(kernel.code);
    }
    return found;
  };
  gpu.record = (encoder, dispatches, run) => {
    for (const { pipeline, bindGroup, grid } of dispatches) {
      const found = dispatched(pipeline);
      if (!found) continue;
      const [x, y] = grid(run);
      if (wanted(found, x * y)) {
        const kept = copyOf(gpu, encoder, found.kernel.code, bound.get(bindGroup)!, [x, y]);
        if (kept) found.dispatches.push(kept);
      }
      const pass = encoder.beginComputePass();
      pass.setPipeline(found.pipeline);
      pass.setBindGroup(0, bindGroup);
      pass.setBindGroup(1, orderGroups.of(found.pipeline, usual));
      pass.dispatchWorkgroups(x, y);
      pass.end();
    }
  };
  return {
    gpu,
    recorded: async () => {
      const messages = (await Promise.all(errors)).filter((message) => message !== undefined);
      if (messages.length > 0) throw new Error(messages.join("\n"));
      return [...known.values()];
    },
  };
}

/** A few dispatches of each pipeline that differ in the number of their workgroups. */
function wanted({ dispatches }: RecordedKernel, workgroups: number): boolean {
  const kept = dispatches.map(({ grid: [x, y] }) => x * y);
  return workgroups > 0 && kept.length < MOST_KEPT && !kept.includes(workgroups);
}

const BINDING = /@group\(0\)\s*@binding\((\d+)\)\s*var<(uniform|storage,\s*read_write|storage)\b/g;

/** The layout of a kernel's bindings, and that of the order. */
function layoutsOf(device: GPUDevice, code: string): [GPUBindGroupLayout, GPUBindGroupLayout] {
  const layout = (entries: readonly (readonly [number, GPUBufferBindingType])[]): GPUBindGroupLayout =>
    device.createBindGroupLayout({
      entries: entries.map(([binding, type]) => ({
        binding,
        visibility: GPUShaderStage.COMPUTE,
        buffer: { type },
      })),
    });
  return [
    layout(
      [...code.matchAll(BINDING)].map(([, binding, kind]) => [
        Number(binding),
        kind === "uniform" ? "uniform" : kind === "storage" ? "read-only-storage" : "storage",
      ]),
    ),
    layout([[0, "uniform"]]),
  ];
}

/**
 * The pipeline of a kernel's text, {@link reordered}.
 * @returns it, and later what the compiler has against it
 */
export function compile(
  device: GPUDevice,
  code: string,
  overrides: Overrides,
): { readonly pipeline: GPUComputePipeline; readonly error: Promise<string | undefined> } {
  const constants = Object.fromEntries(
    Object.entries(overrides).map(([name, value]) => [name, Number(value)]),
  );
  device.pushErrorScope("validation");
  const module = device.createShaderModule({ code: reordered(code) });
  const pipeline = device.createComputePipeline({
    layout: device.createPipelineLayout({ bindGroupLayouts: layoutsOf(device, code) }),
    compute: { module, entryPoint: "main", constants },
  });
  return { pipeline, error: device.popErrorScope().then((error) => error?.message) };
}

const WRITTEN = /@binding\((\d+)\)\s*var<storage,\s*read_write>/g;

function copyOf(
  gpu: Gpu,
  encoder: GPUCommandEncoder,
  code: string,
  entries: readonly GPUBufferBinding[],
  grid: readonly [number, number],
): RecordedDispatch | undefined {
  const written = new Set([...code.matchAll(WRITTEN)].map(([, binding]) => entries[Number(binding)]!.buffer));
  const sources = [...new Set(entries.map(({ buffer }) => buffer))];
  if (sources.reduce((sum, { size }) => sum + size, 0) > MOST_BYTES) return undefined;
  const buffers = sources.map((source) => {
    const usage = source.usage & (GPUBufferUsage.STORAGE | GPUBufferUsage.UNIFORM);
    const copies = GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
    const copy = gpu.device.createBuffer({ label: source.label, size: source.size, usage: copies });
    encoder.copyBufferToBuffer(source, 0, copy, 0, source.size);
    return { copy, usage: usage | copies, written: written.has(source) };
  });
  const bindings = entries.map(({ buffer, offset = 0, size }) => ({
    buffer: sources.indexOf(buffer),
    offset,
    size,
  }));
  return { grid, bindings, buffers };
}

/** Bind groups with an order, for the pipelines of reordered kernels. */
class OrderGroups {
  readonly #device: GPUDevice;
  readonly #uniforms = new Map<Order, GPUBuffer>();
  readonly #groups = new WeakMap<GPUComputePipeline, Map<Order, GPUBindGroup>>();

  constructor(device: GPUDevice) {
    this.#device = device;
  }

  of(pipeline: GPUComputePipeline, order: Order): GPUBindGroup {
    const groups = this.#groups.get(pipeline) ?? new Map<Order, GPUBindGroup>();
    this.#groups.set(pipeline, groups);
    let group = groups.get(order);
    if (!group) {
      group = this.#device.createBindGroup({
        layout: pipeline.getBindGroupLayout(1),
        entries: [{ binding: 0, resource: { buffer: this.#uniform(order) } }],
      });
      groups.set(order, group);
    }
    return group;
  }

  #uniform(order: Order): GPUBuffer {
    let uniform = this.#uniforms.get(order);
    if (!uniform) {
      const usage = GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST;
      uniform = this.#device.createBuffer({ label: "order", size: 16, usage });
      this.#device.queue.writeBuffer(uniform, 0, encodeOrder(order));
      this.#uniforms.set(order, uniform);
    }
    return uniform;
  }
}

/**
 * Runs a recorded dispatch once in each of the orders, each time on copies of what it was given.
 * @param pipeline of a reordered text with the same bindings
 * @returns for each order, all words of the buffers that the kernel may write
 */
export async function replay(
  device: GPUDevice,
  pipeline: GPUComputePipeline,
  { grid, bindings, buffers }: RecordedDispatch,
  inOrders: readonly Order[],
): Promise<Uint32Array[]> {
  const orderGroups = new OrderGroups(device);
  const working = buffers.map(({ copy, usage }) => device.createBuffer({ size: copy.size, usage }));
  const outputs = buffers.flatMap(({ copy, written }, i) => (written ? [{ at: working[i]!, copy }] : []));
  const bytes = outputs.reduce((sum, { copy }) => sum + copy.size, 0);
  const staging = device.createBuffer({
    size: bytes * inOrders.length,
    usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
  });
  const bindGroup = device.createBindGroup({
    layout: pipeline.getBindGroupLayout(0),
    entries: bindings.map(({ buffer, offset, size }, binding) => ({
      binding,
      resource: { buffer: working[buffer]!, offset, ...(size === undefined ? {} : { size }) },
    })),
  });
  const encoder = device.createCommandEncoder();
  buffers.forEach(({ copy }, i) => {
    encoder.copyBufferToBuffer(copy, 0, working[i]!, 0, copy.size);
  });
  let at = 0;
  for (const order of inOrders) {
    for (const { at: buffer, copy } of outputs) encoder.copyBufferToBuffer(copy, 0, buffer, 0, copy.size);
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, bindGroup);
    pass.setBindGroup(1, orderGroups.of(pipeline, order));
    pass.dispatchWorkgroups(...grid);
    pass.end();
    for (const { at: buffer, copy } of outputs) {
      encoder.copyBufferToBuffer(buffer, 0, staging, at, copy.size);
      at += copy.size;
    }
  }
  device.queue.submit([encoder.finish()]);
  await staging.mapAsync(GPUMapMode.READ);
  const words = new Uint32Array(staging.getMappedRange().slice(0));
  for (const buffer of [...working, staging]) buffer.destroy();
  return inOrders.map((_, i) => words.subarray((i * bytes) / 4, ((i + 1) * bytes) / 4));
}
