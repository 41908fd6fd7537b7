/** One WGSL entry point: its full text, made of `lib/` parts and the op's own file. Overrides are filled per model. */
export interface Kernel {
  readonly name: string;
  readonly code: string;
}

/** A kernel whose text passes values round a subgroup. */
export const withSubgroups = ({ name, code }: Kernel): Kernel => ({
  name,
  code: `enable subgroups;\n${code}`,
});

/** What a pass feeds: `length` tokens of each of rows / length streams; row = stream · length + t. */
export interface RunShape {
  readonly rows: number;
  readonly length: number;
}

/** One ready kernel call; its grid depends only on the pass. Recording it is the caller's business. */
export interface Dispatch {
  readonly label: string;
  readonly pipeline: GPUComputePipeline;
  readonly bindGroup: GPUBindGroup;
  /** Workgroups in x and y. */
  readonly grid: (run: RunShape) => readonly [number, number];
}

/** What kernels need of a device: pipelines made once for each kernel and set of overrides. */
export interface KernelHost {
  readonly device: GPUDevice;
  /**
   * Rows of a matrix that one workgroup multiplies by when a product is done a row at a time; even. Few rows keep the many
   * cores of a GPU busy; many rows save a software adapter from repeating the norm before them.
   */
  readonly rowsPerWorkgroup: number;
  /**
   * Lanes of a subgroup that share loads: each loads a part of what all of them need and passes it to the others. This helps
   * where loads cost more than arithmetic, as on software adapters. At most as many as a subgroup has. 0: no lanes share
   * loads, and shared values go through the workgroup's memory.
   */
  readonly sharedLoadLanes: 0 | 4 | 8;
  /** Most bytes of a storage buffer that a kernel is bound to. */
  readonly bindingBytes: number;
  /** @throws ResonantError `shader`, later and naming the kernel, if the text does not compile. */
  pipeline(kernel: Kernel, overrides: Readonly<Record<string, number | boolean>>): GPUComputePipeline;
  /** A uniform buffer holding `data`. */
  uniform(label: string, data: ArrayBufferView<ArrayBuffer>): GPUBuffer;
}

/** The uniform and schedule of a pass: `Run` and `Schedule` in `lib/run.wgsl`. */
export interface PassBuffers {
  readonly run: GPUBuffer;
  readonly schedule: GPUBuffer;
}

/** Where a block's part of a stream's state lies: `[slots, layers, tail + pvm + plm, D]`, all f32. */
export interface StateShape {
  readonly slotStride: number;
  readonly layerStride: number;
  /** Rows of conv tail, `max(0, k − 1)`. */
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

/** Binds `buffers`, or parts of them, in the order of the kernel's `@binding` numbers. */
export function dispatch(
  host: KernelHost,
  kernel: Kernel,
  overrides: Readonly<Record<string, number | boolean>>,
  buffers: readonly (GPUBuffer | GPUBufferBinding)[],
  grid: Dispatch["grid"],
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
  return { label: kernel.name, pipeline, bindGroup, grid };
}

export const ceilDivide = (value: number, by: number): number => Math.ceil(value / by);
