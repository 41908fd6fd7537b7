import { slicesOf, type WeightFormat } from "../../kernels/matrix.ts";
import { drawLoads } from "./before.ts";
import { barriersOf, constantOf } from "./kernel-text.ts";
import { type Launch, linesInRows, linesInterleaved, sliceLoads } from "./launch.ts";
import type { StepOnPaper } from "./models.ts";
import type { Recorded } from "./recording-device.ts";

/** The dispatches of a decode step as the engine records them now. */
export const stepNow = ({ dispatches, products, format }: StepOnPaper): Launch[] =>
  dispatches.map((recorded) => launchOf(recorded, products, format));

function launchOf(recorded: Recorded, products: StepOnPaper["products"], format: WeightFormat): Launch {
  const { kernel, code, overrides, workgroups } = recorded;
  const { ROWS_PER_WORKGROUP: rowsPerWorkgroup, SLICES: slices, THREADS: threads = 64 } = overrides;
  if (rowsPerWorkgroup === undefined || slices === undefined) {
    return {
      what: kernel,
      workgroups,
      ...(kernel === "sample" && { serialLoads: drawLoads(overrides.VOCAB ?? 0) }),
    };
  }
  const of = products.find(
    ({ rows, columns }) => slicesOf(columns) === slices && Math.ceil(rows / rowsPerWorkgroup) === workgroups,
  );
  if (!of)
    throw new Error(`${kernel}: ${workgroups} workgroups of ${rowsPerWorkgroup} rows are no product's`);
  const interleaved = /\bINTERLEAVED_ROWS\b|interleaved/.test(kernel + code);
  const atOnce = constantOf(code, "AT_ONCE");
  const own = Math.ceil((rowsPerWorkgroup * slices) / threads); // slices of a thread
  // What is loaded ahead is loaded while the slices before it are multiplied.
  const inFlight = Math.min(own, atOnce === undefined ? 1 : 2 * atOnce);
  return {
    what: of.name,
    workgroups,
    product: {
      shape: `${of.rows} × ${of.columns}`,
      bytes: of.rows * slices * sliceLoads[format].bytes,
      threads,
      slices,
      rowsPerWorkgroup,
      loads: inFlight * sliceLoads[format][interleaved ? "interleaved" : "rows"],
      loadBytes: interleaved || format === "f32" || format === "f16" ? 16 : 4,
      waits: Math.ceil(own / inFlight),
      lines: interleaved
        ? linesInterleaved(workgroups, rowsPerWorkgroup, slices, rowsOf(overrides, rowsPerWorkgroup, of.rows))
        : linesInRows(format),
      barriers: barriersOf(recorded),
      norm: code.includes("row_statistics(") && overrides.NORM !== 0,
      early: atOnce !== undefined,
      quickSums: atOnce !== undefined,
    },
  };
}

/** `weight_row` of the kernels: three matrices one below the other, the two rows of each rotation, or neighbours. */
function rowsOf(
  { COLUMNS, D = 0, HALF, SIZE = 0 }: Recorded["overrides"],
  rowsPerWorkgroup: number,
  rows: number,
): (group: number, product: number) => number {
  if (COLUMNS !== undefined) {
    return (group, product) =>
      Math.floor(product / COLUMNS) * D + Math.min(group * COLUMNS + (product % COLUMNS), D - 1);
  }
  if (HALF !== undefined) {
    const pairs = Math.ceil(SIZE / 2);
    return (group, product) => {
      const pair = Math.floor((group * rowsPerWorkgroup + product) / 2);
      const [item, second] = [pair % pairs, product % 2];
      const place = item < HALF ? item + second * HALF : Math.min(2 * item + second, SIZE - 1);
      return Math.min(Math.floor(pair / pairs) * SIZE + place, rows - 1);
    };
  }
  return (group, product) => Math.min(group * rowsPerWorkgroup + product, rows - 1);
}
