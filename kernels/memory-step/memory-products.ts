import {
  ceilDivide,
  type Dispatch,
  dispatch,
  type KernelHost,
  memoryOverrides,
  type StateShape,
} from "../kernel.ts";
import activation from "../lib/activation.wgsl";
import block from "../lib/block.wgsl";
import memory from "../lib/memory.wgsl";
import products from "../lib/memory-products.wgsl";
import pairs from "../lib/pairs.wgsl";
import run from "../lib/run.wgsl";
import sealed from "../lib/sealed.wgsl";
import stateLayout from "../lib/state.wgsl";
import { type Matrix, slicesOf } from "../matrix.ts";
import { columnsFor, type ProductKernels, productKernel, productKernels, productWork } from "../products.ts";

/** Kernels made of `lib/memory-products.wgsl` and then `source`. */
export const memoryKernels = (name: string, source: string): ProductKernels =>
  productKernels(name, run, block, stateLayout, memory, pairs, sealed, activation, products, source);

/** The products of both memories for one token of each stream. */
export interface MemoryProducts {
  readonly size: number;
  readonly state: StateShape;
  /** Whether the gates have a matrix; otherwise they are the logistic of their bias. */
  readonly gated: boolean;
  /** `[3D, D]`: PVM gate, PLM gate, PLM out; only the first `D` rows without a PLM. */
  readonly weight: Matrix;
  /** Columns of each product that a workgroup takes; by default `columnsFor`. */
  readonly columns: number | undefined;
}

/** A dispatch of one of {@link memoryKernels}, with `overrides` of its own, that binds `buffers`. */
export function memoryDispatch(
  host: KernelHost,
  kernels: ProductKernels,
  { size, state, gated, weight, columns: given }: MemoryProducts,
  overrides: Readonly<Record<string, number>>,
  buffers: readonly GPUBuffer[],
): Dispatch {
  const sets = state.plm ? 3 : 1;
  const columns = given ?? columnsFor(host, weight, size, sets);
  const { kernel, overrides: ofProduct } = productKernel(host, kernels, weight, {
    columns: size,
    count: columns * sets,
    together: columns,
  });
  return dispatch(
    host,
    kernel,
    {
      D: size,
      PAIRS: ceilDivide(size, 2),
      COLUMNS: columns,
      GATE_SLICES: gated ? slicesOf(size) : 0,
      ...overrides,
      ...ofProduct,
      ...memoryOverrides(state),
    },
    buffers,
    ({ rows }) => [ceilDivide(size, columns), rows],
    productWork(weight.rows, size),
  );
}
