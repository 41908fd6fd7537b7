import { ResonantError } from "../errors.ts";

/** How rows of a hidden sequence become one vector. */
export type QueryKeyMethod = "mean" | "ema" | "phase_weighted";

/** Rows at the end that a query is taken from. */
export const QUERY_WINDOW = 16;

/** Of `phase_weighted`'s softmax, in units of ‖h[t+1] − h[t]‖. */
const TEMPERATURE = 0.5;

/**
 * A query for a memory from the last rows of a hidden sequence, of length 1: their mean; their mean with weights that
 * rise linearly from 0.1 to 1.0 (`ema`); or the mean of all but the last of them weighted by how fast each moves on, a
 * softmax of ‖h[t+1] − h[t]‖ / 0.5 (`phase_weighted`; a single row stands for itself).
 * @param hidden `[T, D]`
 * @param size D
 * @param window rows taken into account; all where there are fewer
 * @returns `[D]`; zeros where the mean is zero
 * @throws ResonantError `invalid_argument` if there is no row, or `hidden` is no whole number of them
 */
export function queryKey(
  hidden: ArrayLike<number>,
  size: number,
  method: QueryKeyMethod,
  window = QUERY_WINDOW,
): Float64Array {
  const length = hidden.length / size;
  const rows = Math.min(length, window);
  if (!(Number.isInteger(length) && rows >= 1)) {
    throw new ResonantError("invalid_argument", `${hidden.length} numbers in a window of ${window} rows`, {
      where: "hidden",
    });
  }
  const first = (length - rows) * size;
  const at = (row: number, d: number): number => hidden[first + row * size + d]!;
  const query = new Float64Array(size);
  // Scales do not matter to a vector that ends up of length 1.
  weigh(method, rows, at, size).forEach((weight, row) => {
    for (let d = 0; d < size; d++) query[d]! += weight * at(row, d);
  });
  const norm = Math.hypot(...query);
  return norm > 0 ? query.map((value) => value / norm) : query;
}

/** The rows' weights, to within a factor. */
function weigh(
  method: QueryKeyMethod,
  rows: number,
  at: (row: number, d: number) => number,
  size: number,
): number[] {
  if (method === "mean" || rows === 1) return Array.from({ length: rows }, () => 1);
  if (method === "ema") return Array.from({ length: rows }, (_, row) => 0.1 + (0.9 * row) / (rows - 1));
  const moves = Array.from({ length: rows - 1 }, (_, row) => {
    const move = Float64Array.from({ length: size }, (_, d) => at(row + 1, d) - at(row, d));
    return Math.hypot(...move) / TEMPERATURE;
  });
  const most = Math.max(...moves);
  return moves.map((move) => Math.exp(move - most));
}
