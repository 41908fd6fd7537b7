import type { WeightFormat } from "../../kernels/matrix.ts";

/** One dispatch, as far as its time on a GPU is modelled. */
export interface Launch {
  /** The product's name, or the kernel's. */
  readonly what: string;
  readonly workgroups: number;
  /** Undefined: little work, a few loads that wait for each other. */
  readonly product?: ProductLaunch;
  /** Iterations of a loop by one workgroup, each of which waits for a load from a near cache. */
  readonly serialLoads?: number;
}

/** How a workgroup multiplies its rows of W by the input. */
export interface ProductLaunch {
  readonly shape: string;
  /** Weights that all workgroups read. */
  readonly bytes: number;
  readonly threads: number;
  /** Slices of 32 columns in a row. */
  readonly slices: number;
  readonly rowsPerWorkgroup: number;
  /** Loads that a thread has in flight at once, and the bytes of the wider ones. */
  readonly loads: number;
  readonly loadBytes: 4 | 16;
  /** How often a thread waits for memory: its loads / those in flight. */
  readonly waits: number;
  /** Lines of 128 bytes that one load of 32 threads touches, on average. */
  readonly lines: number;
  readonly barriers: number;
  readonly norm: boolean;
  /** Whether the first weights are loaded before the input and its norm. */
  readonly early: boolean;
  /** Whether partial sums are read several at once, from different banks. */
  readonly quickSums: boolean;
}

/**
 * Loads of a slice of 32 weights: row after row, and interleaved with seven other rows, where a scale of 4 bytes beside words
 * of 16 is not counted.
 */
export const sliceLoads = {
  f32: { rows: 8, interleaved: 8, bytes: 128 },
  f16: { rows: 4, interleaved: 4, bytes: 64 },
  q8: { rows: 9, interleaved: 2, bytes: 36 },
  q4: { rows: 5, interleaved: 1, bytes: 20 },
} as const satisfies Record<WeightFormat, object>;

/** Lines that 32 neighbouring threads touch if each reads from the next slice of a row. */
export const linesInRows = (format: WeightFormat): number =>
  Math.min(32, (32 * sliceLoads[format].bytes) / 128);

/**
 * The same where eight neighbouring rows share a line, and threads take all rows of a workgroup before they take the next slice.
 * @param rowOf the row of W that is a workgroup's n-th
 */
export function linesInterleaved(
  workgroups: number,
  rowsPerWorkgroup: number,
  slices: number,
  rowOf: (group: number, product: number) => number,
): number {
  let [loads, lines] = [0, 0];
  // The first workgroups show what all do: in every head it is the same again.
  for (let group = 0; group < Math.min(64, workgroups); group++) {
    for (let first = 0; first < rowsPerWorkgroup * slices; first += 32) {
      const touched = new Set<number>();
      for (let task = first; task < first + 32; task++) {
        const eight = Math.floor(rowOf(group, task % rowsPerWorkgroup) / 8);
        touched.add(eight * slices + Math.floor(task / rowsPerWorkgroup));
      }
      loads++;
      lines += touched.size;
    }
  }
  return lines / loads;
}
