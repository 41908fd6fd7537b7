/** One WGSL entry point. Its text is made of `lib/` parts and the operation's own file; its overrides are set per model. */
export class Kernel {
  static readonly #all: Kernel[] = [];
  readonly name: string;
  readonly #code: string; // private, so that no other object passes for a kernel

  /** @param parts its text; a line `enable …;` of any part is moved to the top, where WGSL wants it */
  constructor(name: string, ...parts: string[]) {
    const text = parts.join("\n");
    const enables = new Set(text.match(ENABLE));
    this.name = name;
    this.#code = [...enables, enables.size > 0 ? text.replace(ENABLE, "") : text].join("");
    Kernel.#all.push(this);
  }

  get code(): string {
    return this.#code;
  }

  /** Every kernel that has been made: the tests compile all of them, and can miss none. */
  static get all(): readonly Kernel[] {
    return Kernel.#all;
  }
}

const ENABLE = /^enable \w+;\n/gm;

/** The shape of a pass: it feeds `length` tokens to each of rows / length streams; row = stream · length + t. */
export interface RunShape {
  readonly rows: number;
  readonly length: number;
}

/** One kernel call, ready to be recorded; the caller records it. Its grid depends only on the pass. */
export interface Dispatch {
  readonly label: string;
  readonly pipeline: GPUComputePipeline;
  readonly bindGroup: GPUBindGroup;
  /** Workgroups in x and y; [0, 0] if the pass does not need it. */
  readonly grid: (run: RunShape) => readonly [number, number];
  /** Floating-point operations, or more if it waits for memory; 0 if it is short whatever the pass. */
  readonly work: (run: RunShape) => number;
}

/**
 * How the weights of matrices lie in memory: row after row; or in groups of eight rows, whose 16-byte words lie side by side,
 * so that neighbouring lanes of a GPU read neighbouring words. It changes no bit of any result.
 */
export type WeightLayout = "rows" | "interleaved";

/** What kernels need from a device. Each kernel's pipeline is made once per set of overrides. */
export interface KernelHost {
  readonly device: GPUDevice;
  /**
   * Rows of a matrix that one workgroup multiplies by when a product is done a row at a time; even. Few rows keep the many
   * cores of a GPU busy; many rows save a software adapter from repeating the norm before them. Of an interleaved matrix with
   * few rows a workgroup takes fewer (`rowsFor` in `products.ts`).
   */
  readonly rowsPerWorkgroup: number;
  /**
   * Lanes of a subgroup that share loads: each loads a part of what all of them need and passes it to the others. This helps
   * where loads cost more than arithmetic, as on software adapters. At most as many as a subgroup has. 0: no lanes share
   * loads, and shared values go through the workgroup's memory.
   */
  readonly sharedLoadLanes: 0 | 4 | 8;
  /** How new matrices are laid out. */
  readonly weightLayout: WeightLayout;
  /**
   * How products are done in tiles where no lanes share loads: in tiles made for a software adapter; in tiles made for a GPU,
   * whose sizes follow the rows of a pass; or in those of 64 rows alone, where sizes may differ in a bit.
   */
  readonly productTiles: "software" | "gpu" | "gpu-64";
  /** The most bytes of a storage buffer that one binding can cover. */
  readonly bindingBytes: number;
  /** @throws ResonantError `shader` if the text does not compile; it comes later, and names the kernel */
  pipeline(kernel: Kernel, overrides: Readonly<Record<string, number | boolean>>): GPUComputePipeline;
  /** A uniform buffer holding `data`. */
  uniform(label: string, data: ArrayBufferView<ArrayBuffer>): GPUBuffer;
}

/** The uniform and schedule of a pass: `Run` and `Schedule` in `lib/run.wgsl`. */
export interface PassBuffers {
  readonly run: GPUBuffer;
  readonly schedule: GPUBuffer;
}

/** The layout of streams' states: `[slots, layers, tail + pvm + plm, D]`, all f32. */
export interface StateShape {
  readonly slotStride: number;
  readonly layerStride: number;
  /** Rows of the conv tail, `max(0, k − 1)`. */
  readonly tail: number;
  readonly pvm: boolean;
  readonly plm: boolean;
}

export const stateOverrides = (state: StateShape) => ({
  SLOT_STRIDE: state.slotStride,
  LAYER_STRIDE: state.layerStride,
});

export const memoryOverrides = (state: StateShape) => ({
  ...stateOverrides(state),
  TAIL: state.tail,
  PVM: state.pvm,
  PLM: state.plm,
});

/** A dispatch that binds `buffers`, or parts of them, in the order of the kernel's `@binding` numbers. */
export function dispatch(
  host: KernelHost,
  kernel: Kernel,
  overrides: Readonly<Record<string, number | boolean>>,
  buffers: readonly (GPUBuffer | GPUBufferBinding)[],
  grid: Dispatch["grid"],
  work: Dispatch["work"] = () => 0,
): Dispatch {
  const pipeline = host.pipeline(kernel, overrides);
  const bindGroup = host.device.createBindGroup({
    label: kernel.name,
    layout: pipeline.getBindGroupLayout(0),
    entries: buffers.map((bound, binding) => ({
      binding,
      resource: "buffer" in bound ? bound : { buffer: bound },
    })),
  });
  return { label: kernel.name, pipeline, bindGroup, grid, work };
}

export const ceilDivide = (value: number, by: number): number => Math.ceil(value / by);
