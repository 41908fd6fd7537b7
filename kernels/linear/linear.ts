import {
  ceilDivide,
  type Dispatch,
  dispatch,
  type Kernel,
  type KernelHost,
  withSubgroups,
} from "../kernel.ts";
import { type Norm, normBuffer, normOverrides } from "../layer-norm/layer-norm.ts";
import activation from "../lib/activation.wgsl";
import product from "../lib/product.wgsl";
import reduce from "../lib/reduce.wgsl";
import run from "../lib/run.wgsl";
import statistics from "../lib/statistics.wgsl";
import { kernelPerFormat, type Matrix, partsOf, perFormat, type WeightFormat } from "../matrix.ts";
import { productKernel, productKernels, productsThatFit } from "../products.ts";
import { unroll } from "../unroll.ts";
import epilogue from "./epilogue.wgsl";
import manySource from "./linear.wgsl";
import tile16Source from "./linear-16.wgsl";
import lanesSource from "./linear-lanes.wgsl";
import fewSource from "./linear-row.wgsl";
import loadX from "./load-x.wgsl";
import tile from "./tile.wgsl";

const parts = [run, product, activation, epilogue, loadX] as const;
const many = kernelPerFormat("linear", ...parts, tile, manySource);
/** Tiles through a workgroup's memory, by their rows: 64 for prompts, 16 and 32 for a batch's steps. */
const memoryTiles = {
  64: { kernels: many, columns: 32, overrides: { COLUMN_GROUPS: 8 } },
  32: { kernels: many, columns: 64, overrides: { COLUMN_GROUPS: 16 } },
  16: { kernels: kernelPerFormat("linear-16", ...parts, tile, tile16Source), columns: 64, overrides: {} },
} as const;

/** Rows of a tile that lanes keep in registers. */
const LANE_ROWS = 8;

function laneTile(pairs: 1 | 2, share: 4 | 8): Readonly<Record<WeightFormat, Kernel>> {
  const counts = { ROWS: LANE_ROWS, GROUPS: LANE_ROWS / share, SHARE: share, PAIRS: pairs };
  const constants = Object.entries(counts).map(([name, count]) => `const ${name} = ${count}u;`);
  const text = [...constants, ...parts, unroll(lanesSource, counts)];
  return perFormat(kernelPerFormat(`linear-lanes-${2 * pairs}-${share}`, ...text), withSubgroups);
}

/** Such tiles, by lanes that share loads and pairs of columns. */
const laneTiles = {
  4: { 1: laneTile(1, 4), 2: laneTile(2, 4) },
  8: { 1: laneTile(1, 8), 2: laneTile(2, 8) },
} as const;

const fewRows = productKernels("linear-row", reduce, statistics, activation, epilogue, fewSource);

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
 * What becomes of a sum: stored, added to the output, or stored as a function of it. `gated`, first · σ(second), and
 * `swiglu`, silu(first) · second, take neighbouring rows of W as a unit's two halves and give half as many outputs.
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
  /** `[weight.rows]`; none: nothing is added. */
  readonly bias?: GPUBuffer;
  /** Part of W's rows, `[first, count]`; all by default. */
  readonly rows?: readonly [number, number];
  /** Columns of W that are used: all, or 0 for a product that is its bias alone. */
  readonly columns?: number;
  readonly input: Columns;
  readonly output: Columns;
  readonly epilogue: Epilogue;
}

/** A product over the rows of W that a kernel binds at once. */
interface ProductPart {
  /** `Shape` of `epilogue.wgsl`. */
  readonly shape: GPUBuffer;
  readonly outputs: number;
  readonly weight: GPUBufferBinding;
  /** Of the same rows; W itself where there is none. */
  readonly bias: GPUBufferBinding;
}

function productParts(host: KernelHost, p: Product): ProductPart[] {
  const [first, count] = p.rows ?? [0, p.weight.rows];
  const { input, output, bias } = p;
  const halves = p.epilogue === "gated" || p.epilogue === "swiglu" ? 2 : 1;
  return partsOf(host, p.weight).flatMap((part): ProductPart[] => {
    const start = Math.max(first, part.first);
    const outputs = Math.min(first + count, part.first + part.rows) - start;
    if (outputs <= 0) return [];
    const shape = Uint32Array.of(
      p.columns ?? p.weight.columns,
      outputs,
      start - part.first,
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
        weight: part.binding,
        bias: bias ? { buffer: bias, offset: 4 * part.first } : part.binding,
      },
    ];
  });
}

/** How many rows a product is made for: a prompt's, or those of a step of so many streams at most. */
export type Rows = "prompt" | 16 | 32;

/** What a step of `count` streams is made for. */
export const rowsFor = (count: number): Rows => (count <= 16 ? 16 : 32);

/** The tile for `rows` rows of `outputs` columns: its kernels, and its sizes. */
function tileFor({ share }: KernelHost, rows: Rows, outputs: number) {
  if (share === 0) {
    const tileRows = rows === "prompt" ? 64 : rows;
    return { ...memoryTiles[tileRows], rows: tileRows };
  }
  // Half as wide where there would be few tiles to keep all of a machine's cores busy.
  const pairs = rows === "prompt" || outputs >= 2048 ? 2 : 1;
  return { kernels: laneTiles[share][pairs], rows: LANE_ROWS, columns: 128 * pairs, overrides: {} };
}

/**
 * `Y = epilogue(X Wᵀ + b)` for many rows, in tiles: a dispatch for each part of W that the device binds. Bit for bit what
 * {@link linearRow} gives.
 * @param rows what its tiles are made for; any number can be run
 */
export function linear(host: KernelHost, run: GPUBuffer, p: Product, rows: Rows = "prompt"): Dispatch[] {
  return productParts(host, p).map(({ shape, outputs, weight, bias }) => {
    const tile = tileFor(host, rows, outputs);
    return dispatch(
      host,
      tile.kernels[p.weight.format],
      { ...tile.overrides, EPILOGUE: epilogues.indexOf(p.epilogue) },
      [run, shape, p.input.buffer, weight, bias, p.output.buffer],
      (run) => [ceilDivide(outputs, tile.columns), ceilDivide(run.rows, tile.rows)],
    );
  });
}

/**
 * The same for few rows, with an optional norm of the input. `products` a workgroup, even, at least 2: see
 * {@link productsThatFit}.
 */
export function linearRow(
  host: KernelHost,
  p: Product,
  norm?: GPUBuffer | Norm,
  products = productsThatFit(host, p.columns ?? p.weight.columns),
): Dispatch[] {
  const columns = p.columns ?? p.weight.columns;
  const { kernel, overrides } = productKernel(host, fewRows, p.weight.format, { columns, count: products });
  const all = {
    K: columns,
    NORM: norm !== undefined,
    EPILOGUE: epilogues.indexOf(p.epilogue),
    ...overrides,
    ...(norm ? normOverrides(norm) : {}),
  };
  return productParts(host, p).map(({ shape, outputs, weight, bias }) =>
    dispatch(
      host,
      kernel,
      all,
      [shape, p.input.buffer, norm ? normBuffer(norm) : weight, weight, bias, p.output.buffer],
      ({ rows }) => [ceilDivide(outputs, products), rows],
    ),
  );
}
