import { ResonantError } from "../../common/errors.ts";
import type { Dispatch, Kernel, KernelHost, RunShape, WeightLayout } from "../../kernels/kernel.ts";
import type { Agreement } from "./agreement.ts";
import { type DeviceKind, kindOf } from "./device-kind.ts";
import { defaultTuning, mostSharedLoadLanes, type Tuning, weightLayoutOf } from "./tuning.ts";
import { submissionWork } from "./work.ts";

/** Dawn's feature for strict maths, on Metal and D3D: no quotient becomes a product, and no sum is taken in another order. */
const STRICT_MATHS = "shader-module-compilation-options";

/**
 * A device with what all parts of the engine need from it: named buffers, pipelines that are made once, and errors that
 * name the kernel or buffer at fault. Errors that WebGPU reports late are thrown by the next {@link Gpu.settle}.
 */
export class Gpu implements KernelHost {
  readonly device: GPUDevice;
  /** The adapter's name, for people. */
  readonly name: string;
  readonly kind: DeviceKind;
  readonly tuning: Tuning;
  /** The most that {@link KernelHost.sharedLoadLanes} can be on this adapter. */
  readonly mostSharedLoadLanes: KernelHost["sharedLoadLanes"];
  readonly bindingBytes: number;
  /** Whether rows and tiles give the same bits here. Set it before a model is loaded. */
  agreement: Agreement;
  /** The most work of one command buffer, see `submissionWork`. Set it before a model is loaded. */
  submissionWork: number;
  /** By a kernel's text, since its name is for people: its pipelines by their overrides. */
  readonly #pipelines = new Map<string, Map<string, GPUComputePipeline>>();
  readonly #modules = new Map<string, GPUShaderModule>();
  #checks: Promise<ResonantError | undefined>[] = [];
  #failure: ResonantError | undefined;
  #bytes = 0;

  /**
   * Opens a device of `adapter`, with every limit raised to what the adapter offers, and with subgroups, timestamps and
   * strict maths if it has them.
   * @param name the adapter's name as its driver gives it, where the platform knows it
   * @param tuning the tuning measured on this adapter before; by default the standard one of its kind
   * @throws ResonantError `invalid_argument` for a tuning with more lanes than the adapter's subgroups have, `device_lost`
   * if the adapter gives no device
   */
  static async open(adapter: GPUAdapter, name?: string, tuning?: Tuning): Promise<Gpu> {
    const { info } = adapter;
    const mostLanes = mostSharedLoadLanes(adapter.features, info.subgroupMinSize);
    if (tuning && tuning.sharedLoadLanes > mostLanes) {
      throw new ResonantError(
        "invalid_argument",
        `${tuning.sharedLoadLanes} lanes, but at most ${mostLanes} can share loads`,
        {
          option: "tuning.sharedLoadLanes",
          fix: "Measure it on this adapter: `resonant tune`",
        },
      );
    }
    const limits: Record<string, number> = {};
    for (const limit of [
      "maxBufferSize",
      "maxStorageBufferBindingSize",
      "maxComputeWorkgroupStorageSize",
      "maxStorageBuffersPerShaderStage",
    ] as const) {
      limits[limit] = adapter.limits[limit];
    }
    try {
      const requiredFeatures = wanted.filter((feature) => adapter.features.has(feature));
      const device = await adapter.requestDevice({
        label: "resonant",
        requiredLimits: limits,
        requiredFeatures,
      });
      // Browsers give a vendor and an architecture at most; `device` may be just a number.
      const reported = info.description || [info.vendor, info.architecture].filter((part) => part).join(" ");
      const called = name ?? (reported || "unknown");
      return new Gpu(device, called, kindOf(info), mostLanes, tuning);
    } catch (cause) {
      throw new ResonantError("device_lost", `the adapter gave no device: ${messageOf(cause)}`, { cause });
    }
  }

  private constructor(
    device: GPUDevice,
    name: string,
    kind: DeviceKind,
    mostLanes: KernelHost["sharedLoadLanes"],
    tuning = defaultTuning(kind, mostLanes),
  ) {
    this.device = device;
    this.name = name;
    this.kind = kind;
    this.mostSharedLoadLanes = mostLanes;
    this.tuning = tuning;
    this.agreement = { shownBy: kind === "software" ? "tests" : "nothing", differing: [] };
    this.submissionWork = submissionWork(kind);
    this.bindingBytes = device.limits.maxStorageBufferBindingSize;
    device.lost.then(({ reason, message }) => {
      this.#failure ??= new ResonantError("device_lost", `the GPU device was lost (${reason}): ${message}`, {
        fix: "Restart, or open a new device and load the model again",
      });
    });
    device.addEventListener("uncapturederror", (event) => {
      event.preventDefault();
      this.#failure ??= mapError(event.error, "GPU");
    });
  }

  get sharedLoadLanes(): KernelHost["sharedLoadLanes"] {
    return this.tuning.sharedLoadLanes;
  }

  get rowsPerWorkgroup(): number {
    return this.tuning.rowsPerWorkgroup;
  }

  get weightLayout(): WeightLayout {
    return weightLayoutOf(this.kind);
  }

  get productTiles(): KernelHost["productTiles"] {
    if (this.kind === "software") return "software";
    const { maxComputeInvocationsPerWorkgroup, maxComputeWorkgroupSizeX } = this.device.limits;
    const most = Math.min(maxComputeInvocationsPerWorkgroup, maxComputeWorkgroupSizeX);
    return most < 256 || this.rowsAlone ? "gpu-64" : "gpu";
  }

  /** Whether decode steps take a row at a time whatever the batch, because tiles give other bits here. */
  get rowsAlone(): boolean {
    return this.agreement.differing.length > 0;
  }

  /** Bytes of all buffers that exist now. */
  get bytes(): number {
    return this.#bytes;
  }

  /**
   * @param bound whether kernels bind a storage buffer as a whole, or in several parts
   * @throws ResonantError `out_of_memory`: at once if the size is over the device's limit, else from the next
   * {@link settle}
   */
  buffer(
    label: string,
    size: number,
    usage: GPUBufferUsageFlags,
    bound: "whole" | "in parts" = "whole",
  ): GPUBuffer {
    const { maxBufferSize } = this.device.limits;
    const whole = usage & GPUBufferUsage.STORAGE && bound === "whole";
    const limit = whole ? Math.min(maxBufferSize, this.bindingBytes) : maxBufferSize;
    if (!(size <= limit)) {
      throw new ResonantError("out_of_memory", `${size} bytes, but this device binds at most ${limit}`, {
        where: `buffer ${label}`,
      });
    }
    const padded = Math.max(16, Math.ceil(size / 4) * 4);
    this.device.pushErrorScope("out-of-memory");
    this.device.pushErrorScope("validation");
    const buffer = this.device.createBuffer({ label, size: padded, usage });
    this.#check(`buffer ${label} (${padded} bytes)`);
    this.#check(`buffer ${label} (${padded} bytes)`);
    this.#bytes += padded;
    const destroy = buffer.destroy.bind(buffer);
    let live = true;
    buffer.destroy = () => {
      if (live) this.#bytes -= padded;
      live = false;
      destroy();
      return undefined;
    };
    return buffer;
  }

  /** A storage buffer that can be copied from and to. */
  storage(label: string, size: number, bound?: "whole" | "in parts"): GPUBuffer {
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
    return this.buffer(label, size, usage, bound);
  }

  /** A storage buffer holding `data`. */
  upload(label: string, data: ArrayBuffer | ArrayBufferView<ArrayBuffer>): GPUBuffer {
    const buffer = this.storage(label, data.byteLength);
    this.device.queue.writeBuffer(buffer, 0, data);
    return buffer;
  }

  /** A uniform buffer holding `data`. */
  uniform(label: string, data: ArrayBuffer | ArrayBufferView<ArrayBuffer>): GPUBuffer {
    const buffer = this.buffer(label, data.byteLength, GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST);
    this.device.queue.writeBuffer(buffer, 0, data);
    return buffer;
  }

  pipeline(kernel: Kernel, overrides: Readonly<Record<string, number | boolean>>): GPUComputePipeline {
    const pipelines = this.#pipelines.get(kernel.code) ?? new Map<string, GPUComputePipeline>();
    this.#pipelines.set(kernel.code, pipelines);
    const key = JSON.stringify(overrides);
    let pipeline = pipelines.get(key);
    if (!pipeline) {
      const constants = Object.fromEntries(
        Object.entries(overrides).map(([name, value]) => [name, Number(value)]),
      );
      this.device.pushErrorScope("internal");
      this.device.pushErrorScope("validation");
      const module = this.#module(kernel); // within the scopes, which take its errors
      pipeline = this.device.createComputePipeline({
        label: kernel.name,
        layout: "auto",
        compute: { module, entryPoint: "main", constants },
      });
      const cause = () => compileErrors(module, kernel.code);
      this.#check(`kernel ${kernel.name}`, "shader", cause);
      this.#check(`kernel ${kernel.name}`, "shader", cause);
      pipelines.set(key, pipeline);
    }
    return pipeline;
  }

  #module({ name, code }: Kernel): GPUShaderModule {
    let module = this.#modules.get(code);
    if (!module) {
      const strict = this.device.features.has(STRICT_MATHS) ? { strictMath: true } : {};
      module = this.device.createShaderModule({ label: name, code, ...strict });
      this.#modules.set(code, module);
    }
    return module;
  }

  /** @param cause what is known about the error besides its message, if it has happened */
  #check(where: string, code?: "shader", cause?: () => Promise<string | undefined>): void {
    this.#checks.push(
      this.device.popErrorScope().then(
        async (error) => (error ? mapError(error, where, code, await cause?.()) : undefined),
        () => undefined, // a lost device is reported by `lost`
      ),
    );
  }

  /** Waits until WebGPU has reported on everything done so far. @throws ResonantError the first error */
  async settle(): Promise<void> {
    const checks = this.#checks;
    this.#checks = [];
    const errors = await Promise.all(checks);
    // An error from a scope names its kernel or buffer; an error that followed from it is uncaptured and has no name.
    const named = errors.find((error) => error);
    if (named && this.#failure?.code !== "device_lost") this.#failure = named;
    this.assertAlive();
  }

  /** @throws ResonantError the first error known so far, if any */
  assertAlive(): void {
    if (this.#failure) throw this.#failure;
  }

  /** Submits what `record` records, as one command buffer, and gives what it returns. The engine submits nowhere else. */
  submit<T>(record: (encoder: GPUCommandEncoder) => T): T {
    const { recorded, submit } = this.prepare(record);
    submit();
    return recorded;
  }

  /** Records a command buffer without submitting it, for timing that must not include recording. `submit` submits it, once. */
  prepare<T>(record: (encoder: GPUCommandEncoder) => T): { readonly recorded: T; submit(): void } {
    const encoder = this.device.createCommandEncoder();
    const recorded = record(encoder);
    const commands = encoder.finish();
    return { recorded, submit: () => this.device.queue.submit([commands]) };
  }

  /** Records `dispatches` in order into one compute pass. */
  record(encoder: GPUCommandEncoder, dispatches: readonly Dispatch[], run: RunShape): void {
    const pass = encoder.beginComputePass();
    recordInto(pass, dispatches, run);
    pass.end();
  }

  /** Copies `size` bytes of `source` back to the host. */
  async read(source: GPUBuffer, offset = 0, size = source.size - offset): Promise<ArrayBuffer> {
    const staging = this.buffer(
      `read of ${source.label}`,
      size,
      GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
    );
    try {
      this.submit((encoder) => encoder.copyBufferToBuffer(source, offset, staging, 0, size));
      await this.map(staging);
      return staging.getMappedRange(0, size).slice(0);
    } finally {
      staging.destroy();
    }
  }

  async readFloats(source: GPUBuffer, offset = 0, count = source.size / 4 - offset): Promise<Float32Array> {
    return new Float32Array(await this.read(source, offset * 4, count * 4));
  }

  /** Maps a read-back buffer. @throws ResonantError if the device is lost meanwhile. */
  async map(staging: GPUBuffer): Promise<void> {
    try {
      await staging.mapAsync(GPUMapMode.READ);
    } catch (cause) {
      await this.settle();
      throw new ResonantError("device_lost", `${staging.label} could not be read: ${messageOf(cause)}`, {
        cause,
      });
    }
    await this.settle();
  }

  destroy(): void {
    this.device.destroy();
  }
}

/** Records `dispatches` in order into a pass that is open. */
export function recordInto(
  pass: GPUComputePassEncoder,
  dispatches: readonly Dispatch[],
  run: RunShape,
): void {
  for (const { pipeline, bindGroup, grid } of dispatches) {
    const [x, y] = grid(run);
    if (x * y === 0) continue;
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, bindGroup);
    pass.dispatchWorkgroups(x, y);
  }
}

/** Features that are used if the adapter has them. */
const wanted = ["subgroups", "timestamp-query", STRICT_MATHS] as readonly GPUFeatureName[];

function mapError(error: GPUError, where: string, code?: "shader", cause?: string): ResonantError {
  const outOfMemory = error instanceof GPUOutOfMemoryError;
  const problem = cause ?? error.message.trim();
  return new ResonantError(outOfMemory ? "out_of_memory" : (code ?? "shader"), problem, { where });
}

const MOST_COMPILE_ERRORS = 3;

/**
 * What the compiler says is wrong with a module of the text `code`: the messages, each with its line, which would say nothing
 * by its number alone since a kernel's text is made of parts. Undefined if it says nothing.
 */
async function compileErrors(module: GPUShaderModule, code: string): Promise<string | undefined> {
  const info = await module.getCompilationInfo().catch(() => undefined);
  const errors = info?.messages.filter(({ type }) => type === "error") ?? [];
  if (errors.length === 0) return undefined;
  const lines = code.split("\n");
  const shown = errors.slice(0, MOST_COMPILE_ERRORS).map(({ message, lineNum }) => {
    const line = lines[lineNum - 1]?.trim();
    return line ? `${message.trim()}, in line ${lineNum}: ${line}` : message.trim();
  });
  return shown.join("; ");
}

const messageOf = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause));
