import { ceilDivide, type Dispatch, dispatch, type KernelHost } from "../kernel.ts";
import { type Norm, normBuffer, normOverrides } from "../layer-norm/layer-norm.ts";
import activation from "../lib/activation.wgsl";
import partials from "../lib/partials.wgsl";
import product from "../lib/product.wgsl";
import reduce from "../lib/reduce.wgsl";
import run from "../lib/run.wgsl";
import statistics from "../lib/statistics.wgsl";
import { kernelPerFormat, type Matrix, partsOf, slicesOf } from "../matrix.ts";
import epilogue from "./epilogue.wgsl";
import manySource from "./linear.wgsl";
import tile16Source from "./linear-16.wgsl";
import fewSource from "./linear-row.wgsl";
import tile from "./tile.wgsl";

/** Rows of a tile: 64 for prompts, 16 and 32 for a batch's steps. */
export type TileRows = 16 | 32 | 64;

const parts = [run, product, activation, epilogue, tile] as const;
const many = kernelPerFormat("linear", ...parts, manySource);
const tiles = {
  64: { kernels: many, columns: 32, overrides: { COLUMN_GROUPS: 8 } },
  32: { kernels: many, columns: 64, overrides: { COLUMN_GROUPS: 16 } },
  16: { kernels: kernelPerFormat("linear-16", ...parts, tile16Source), columns: 64, overrides: {} },
} as const;
const fewRows = kernelPerFormat(
  "linear-row",
  reduce,
  product,
  partials,
  statistics,
  activation,
  epilogue,
  fewSource,
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
      epilogues.indexOf(p.epilogue),
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

/**
 * `Y = epilogue(X Wᵀ + b)` for many rows, in tiles of 64 × 32, 32 × 64 or 16 × 64: a dispatch for each part of W that the device
 * binds. Bit for bit what {@link linearRow} gives.
 */
export function linear(host: KernelHost, run: GPUBuffer, p: Product, tileRows: TileRows = 64): Dispatch[] {
  const { kernels, columns, overrides } = tiles[tileRows];
  return productParts(host, p).map(({ shape, outputs, weight, bias }) =>
    dispatch(
      host,
      kernels[p.weight.format],
      overrides,
      [run, shape, p.input.buffer, weight, bias, p.output.buffer],
      ({ rows }) => [ceilDivide(outputs, columns), ceilDivide(rows, tileRows)],
    ),
  );
}

/** Bytes of workgroup storage beside the input and the slices of the products: what a norm adds up in. */
const SUMS = 4 * (64 + 8);

/** Products that a workgroup of {@link linearRow} has room for, `columns` wide: even, at most the host's own, 0 if none. */
export function productsThatFit(host: KernelHost, columns: number): number {
  const slices = slicesOf(columns);
  const room = host.device.limits.maxComputeWorkgroupStorageSize - SUMS - slices * 128;
  return Math.max(0, Math.min(host.products, 2 * Math.floor(room / (8 * slices))));
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
  const overrides = {
    K: columns,
    NORM: norm !== undefined,
    SLICES: slicesOf(columns),
    PRODUCTS: products,
    ...(norm ? normOverrides(norm) : {}),
  };
  return productParts(host, p).map(({ shape, outputs, weight, bias }) =>
    dispatch(
      host,
      fewRows[p.weight.format],
      overrides,
      [shape, p.input.buffer, norm ? normBuffer(norm) : weight, weight, bias, p.output.buffer],
      ({ rows }) => [ceilDivide(outputs, products), rows],
    ),
  );
}
