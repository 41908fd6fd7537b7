import type { ProductShape } from "../../engine/product-shape.ts";
import { slicesOf, type WeightFormat } from "../../kernels/matrix.ts";
import { type Launch, linesInRows, sliceLoads } from "./launch.ts";

/** Rows of a matrix that a workgroup took. */
const ROWS = 16;
const THREADS = 64;

/** What one workgroup of 64 threads waits for that draws with a top-k and a top-p: 21 passes over the logits. */
export const drawLoads = (vocabulary: number): number => 21 * Math.ceil(vocabulary / 64);

/**
 * The dispatches of a decode step as they were at commit 0ee2fbe: history, and so written down here. A workgroup of 64 took
 * 16 rows; each of its threads a slice of 32 weights after another, waiting for each; the input and its norm came first.
 */
export function stepBefore(
  products: readonly ProductShape[],
  format: WeightFormat,
  native: boolean,
): Launch[] {
  const launch = (name: string, barriers: number, norm: boolean): Launch => {
    const of = products.find((each) => each.name === name);
    if (!of) throw new Error(`no product is called ${name}`);
    const memory = name === "memory"; // 8 columns of three matrices, each of `size` rows
    const rowsPerWorkgroup = memory ? 24 : ROWS;
    const slices = slicesOf(of.columns);
    return {
      what: name,
      workgroups: Math.ceil(of.rows / rowsPerWorkgroup),
      product: {
        shape: `${of.rows} × ${of.columns}`,
        bytes: of.rows * slices * sliceLoads[format].bytes,
        threads: THREADS,
        slices,
        rowsPerWorkgroup,
        loads: sliceLoads[format].rows,
        loadBytes: format === "q4" || format === "q8" ? 4 : 16,
        waits: Math.ceil((rowsPerWorkgroup * slices) / THREADS),
        lines: linesInRows(format),
        barriers,
        norm,
        early: false,
        quickSums: false,
      },
    };
  };
  const small = (what: string, workgroups = 1): Launch => ({ what, workgroups });
  const head = products.find(({ name }) => name === "head")!;
  const layers = products.find(({ name }) => name === "up")!.count;
  const draw = { what: "sample", workgroups: 1, serialLoads: drawLoads(head.rows) };
  // A LayerNorm has four barriers, an RMSNorm two; then one after the input, and one after the partial sums.
  const rms = !native && products.some(({ name, rows, columns }) => name === "up" && rows > 4 * columns);
  const normed = rms ? 4 : 6;
  const layer = native
    ? [
        launch("mixer", normed, true),
        launch("memory", 3, false),
        small("combine"),
        launch("up", normed, true),
        launch("down", 2, false),
      ]
    : [
        launch("qkv", normed, true),
        small("rope"),
        small("attention-step"),
        small("attention-merge"),
        launch("out", 2, false),
        launch("up", normed, true),
        launch("down", 2, false),
      ];
  return [
    small("embed"),
    ...Array.from({ length: layers }, () => layer).flat(),
    launch("head", normed, true),
    draw,
  ];
}
