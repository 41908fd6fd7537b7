import { ceilDivide, type Dispatch, dispatch, type KernelHost } from "../kernel.ts";
import { type Norm, normBuffer, normOverrides } from "../layer-norm/layer-norm.ts";
import activation from "../lib/activation.wgsl";
import oneInput from "../lib/one-input.wgsl";
import product from "../lib/product.wgsl";
import reduce from "../lib/reduce.wgsl";
import run from "../lib/run.wgsl";
import sealed from "../lib/sealed.wgsl";
import statistics from "../lib/statistics.wgsl";
import { bindingsOf, kernelFor, type Matrix, type MatrixKernels, matrixKernels } from "../matrix.ts";
import { productKernel, productKernels, productWork, rowsFor } from "../products.ts";
import { unroll } from "../unroll.ts";
import epilogue from "./epilogue.wgsl";
import tiledSource from "./linear.wgsl";
import tile16Source from "./linear-16.wgsl";
import gpuSource from "./linear-gpu.wgsl";
import lanesSource from "./linear-lanes.wgsl";
import rowSource from "./linear-row.wgsl";
import loadX from "./load-x.wgsl";
import tile from "./tile.wgsl";

const sources = [run, product, sealed, activation, epilogue, loadX] as const;
const tiled = matrixKernels("linear", ...sources, tile, tiledSource);

/** The tiles of a product, and the passes that take them. */
interface Tile {
  readonly kernels: MatrixKernels;
  readonly rows: number;
  readonly columns: number;
  readonly overrides: Readonly<Record<string, number>>;
  /** Rows of the passes that take these tiles: `[more than, at most]`; without it, of all. */
  readonly passes?: readonly [number, number];
}

/**
 * Tiles that go through a workgroup's memory on a software adapter, by their rows: 64 for prefill, 16 and 32 for the decode
 * steps of a batch.
 */
const softwareTiles: Readonly<Record<16 | 32 | 64, Tile>> = {
  64: { kernels: tiled, rows: 64, columns: 32, overrides: { COLUMN_GROUPS: 8 } },
  32: { kernels: tiled, rows: 32, columns: 64, overrides: { COLUMN_GROUPS: 16 } },
  16: {
    kernels: matrixKernels("linear-16", ...sources, tile, tile16Source),
    rows: 16,
    columns: 64,
    overrides: {},
  },
};

/**
 * A tile of `rows · rowGroups` rows and `4 · columnGroups` columns that goes through a workgroup's memory, laid out for the
 * banks of a GPU.
 */
function gpuTile(rows: 4 | 8, rowGroups: number, columnGroups: number): Tile {
  const counts = { ROWS: rows, ROW_GROUPS: rowGroups, COLUMN_GROUPS: columnGroups };
  const constants = Object.entries(counts).map(([name, count]) => `const ${name} = ${count}u;`);
  const size = { rows: rows * rowGroups, columns: 4 * columnGroups };
  const text = [...constants, ...sources, tile, unroll(gpuSource, counts)];
  return { kernels: matrixKernels(`linear-gpu-${size.rows}`, ...text), ...size, overrides: {} };
}

/** Tiles for GPUs, by their rows: 128 and 64 for prefill, 16 and 32 for the decode steps of a batch. */
const gpuTiles: Readonly<Record<16 | 32 | 64 | 128, Tile>> = {
  128: gpuTile(8, 16, 16),
  64: gpuTile(8, 8, 8),
  32: gpuTile(8, 4, 16),
  16: gpuTile(4, 4, 16),
};

/** Rows of a tile that lanes keep in registers. */
const LANE_ROWS = 8;

function laneTile(pairs: 1 | 2, lanes: 4 | 8): MatrixKernels {
  const counts = { ROWS: LANE_ROWS, GROUPS: LANE_ROWS / lanes, SHARED_LOAD_LANES: lanes, PAIRS: pairs };
  const constants = Object.entries(counts).map(([name, count]) => `const ${name} = ${count}u;`);
  const text = [...constants, ...sources, unroll(lanesSource, counts)];
  return matrixKernels(`linear-lanes-${2 * pairs}-${lanes}`, ...text);
}

/** Tiles in registers, by the lanes that share loads and the pairs of columns. */
const laneTiles = {
  4: { 1: laneTile(1, 4), 2: laneTile(2, 4) },
  8: { 1: laneTile(1, 8), 2: laneTile(2, 8) },
} as const;

const rowKernels = productKernels(
  "linear-row",
  reduce,
  sealed,
  statistics,
  activation,
  epilogue,
  oneInput,
  rowSource,
);

/** In the order of their numbers in `epilogue.wgsl`. */
const epilogues = [
  "store",
  "gated",
  "sigmoid",
  "add",
  "gelu",
  "gelu_tanh",
  "relu",
  "silu",
  "swiglu",
] as const;

/**
 * What happens to a sum: it is stored, added to the output, or stored as a function of it. `gated`, first · σ(second), and
 * `swiglu`, silu(first) · second, take neighbouring rows of W as the two halves of a unit and give half as many outputs.
 */
export type Epilogue = (typeof epilogues)[number];

/** Part of the columns of a row-major buffer. */
export interface Columns {
  readonly buffer: GPUBuffer;
  /** Floats from row to row. */
  readonly stride: number;
  readonly offset?: number;
}

export interface Product {
  readonly weight: Matrix;
  /** `[weight.rows]`; without it nothing is added. */
  readonly bias?: GPUBuffer;
  /** Part of W's rows, `[first, count]`; all by default. */
  readonly rows?: readonly [number, number];
  /** Columns of W that are used: all of them, or 0 for a product that is only its bias. */
  readonly columns?: number;
  readonly input: Columns;
  readonly output: Columns;
  readonly epilogue: Epilogue;
}

/** The part of a product over the rows of W that one binding covers. */
interface BoundProduct {
  /** `Shape` of `epilogue.wgsl`. */
  readonly shape: GPUBuffer;
  readonly outputs: number;
  readonly weight: GPUBufferBinding;
  /** The bias of the same rows; W itself if there is no bias. */
  readonly bias: GPUBufferBinding;
}

function boundProducts(host: KernelHost, p: Product): BoundProduct[] {
  const [first, count] = p.rows ?? [0, p.weight.rows];
  const { input, output, bias } = p;
  const halves = p.epilogue === "gated" || p.epilogue === "swiglu" ? 2 : 1;
  return bindingsOf(host, p.weight).flatMap((bound): BoundProduct[] => {
    const start = Math.max(first, bound.first);
    const outputs = Math.min(first + count, bound.first + bound.rows) - start;
    if (outputs <= 0) return [];
    const shape = Uint32Array.of(
      p.columns ?? p.weight.columns,
      outputs,
      start - bound.first,
      input.stride,
      input.offset ?? 0,
      output.stride,
      (output.offset ?? 0) + (start - first) / halves,
      bias === undefined ? 0 : 1,
    );
    return [
      {
        shape: host.uniform("shape of a product", shape),
        outputs,
        weight: bound.binding,
        bias: bias ? { buffer: bias, offset: 4 * bound.first } : bound.binding,
      },
    ];
  });
}

/** How a product is done: a row at a time ({@link linearRow}), or in tiles of rows ({@link linearTiled}). */
export type ProductWay = "row" | "tiles";

/** What tiles are made for: prefill, or a decode step of up to 16 streams or of more. Any number of rows can be run. */
export type TileBatch = "prefill" | 16 | 32;

/** The tiles for a decode step of `streams` streams. */
export const tileBatchFor = (streams: number): TileBatch => (streams <= 16 ? 16 : 32);

/** The tiles for a batch and a product of `outputs` columns. A pass takes one of them. */
function tilesFor({ sharedLoadLanes, productTiles }: KernelHost, batch: TileBatch, outputs: number): Tile[] {
  if (sharedLoadLanes !== 0) {
    // Half as wide where there would be too few tiles to keep all cores busy.
    const pairs = batch === "prefill" || outputs >= 2048 ? 2 : 1;
    const kernels = laneTiles[sharedLoadLanes][pairs];
    return [{ kernels, rows: LANE_ROWS, columns: 128 * pairs, overrides: {} }];
  }
  if (productTiles === "software") return [softwareTiles[batch === "prefill" ? 64 : batch]];
  if (productTiles === "gpu-64") return [gpuTiles[64]];
  if (batch !== "prefill") return [gpuTiles[batch]];
  return [
    { ...gpuTiles[64], passes: [0, 64] },
    { ...gpuTiles[128], passes: [64, Number.POSITIVE_INFINITY] },
  ];
}

/**
 * `Y = epilogue(X Wᵀ + b)` in tiles of rows: for each part of W that the device binds at once, one dispatch for each size of
 * tiles. A pass takes one size, and the grids of the others are empty. Bit for bit the same as {@link linearRow}.
 * @param batch what its tiles are made for
 */
export function linearTiled(
  host: KernelHost,
  run: GPUBuffer,
  p: Product,
  batch: TileBatch = "prefill",
): Dispatch[] {
  return boundProducts(host, p).flatMap(({ shape, outputs, weight, bias }) =>
    tilesFor(host, batch, outputs).map((tile) =>
      dispatch(
        host,
        kernelFor(tile.kernels, p.weight),
        { ...tile.overrides, EPILOGUE: epilogues.indexOf(p.epilogue) },
        [run, shape, p.input.buffer, weight, bias, p.output.buffer],
        ({ rows }) => {
          const [above, most] = tile.passes ?? [0, rows];
          if (rows <= above || rows > most) return [0, 0];
          return [ceilDivide(outputs, tile.columns), ceilDivide(rows, tile.rows)];
        },
        productWork(outputs, p.columns ?? p.weight.columns),
      ),
    ),
  );
}

/**
 * The same product a row at a time, with an optional norm of the input.
 * @param rowsPerWorkgroup rows of W that a workgroup takes: even, at least 2, at most `rowsThatFit`
 */
export function linearRow(
  host: KernelHost,
  p: Product,
  norm?: GPUBuffer | Norm,
  rowsPerWorkgroup = rowsFor(host, p.weight, p.rows?.[1]),
): Dispatch[] {
  const columns = p.columns ?? p.weight.columns;
  const { kernel, overrides } = productKernel(host, rowKernels, p.weight, {
    columns,
    count: rowsPerWorkgroup,
  });
  const all = {
    K: columns,
    NORM: norm !== undefined,
    EPILOGUE: epilogues.indexOf(p.epilogue),
    ...overrides,
    ...(norm ? normOverrides(norm) : {}),
  };
  return boundProducts(host, p).map(({ shape, outputs, weight, bias }) =>
    dispatch(
      host,
      kernel,
      all,
      [shape, p.input.buffer, norm ? normBuffer(norm) : weight, weight, bias, p.output.buffer],
      ({ rows }) => [ceilDivide(outputs, rowsPerWorkgroup), rows],
      productWork(outputs, columns),
    ),
  );
}
