import { linearRow, linearTiled, type TileBatch } from "../../kernels/linear/linear.ts";
import { weightFormats } from "../../kernels/matrix.ts";
import type { BenchCase } from "../harness/case.ts";
import { less, type Row } from "../harness/row.ts";
import { Given, randomFloats } from "../kernels/given.ts";

/** Rows of the input, and the matrix: no multiple of any tile, slice or workgroup. */
const SIZE = { rows: 37, n: 330, k: 1100 };
const batches: readonly TileBatch[] = [16, 32, "prefill"];

/** Counts the values that a product in tiles gives in other bits than a row at a time does: 0 where compilers keep order. */
export const rowAndTiles: BenchCase = {
  group: "gpu",
  name: "row against tile bits",
  onlyNamed: true,
  open({ gpu }) {
    const given = new Given(gpu);
    const { rows, n, k } = SIZE;
    const x = given.upload("x", randomFloats(1, rows * k));
    const weights = randomFloats(2, n * k);
    const bias = given.upload("bias", randomFloats(3, n));
    return {
      async check() {},
      async measure() {
        const found: Row[] = [];
        for (const format of weightFormats) {
          const weight = given.matrix(weights, [n, k], format);
          const bitsOf = async (batch?: TileBatch): Promise<Uint32Array> => {
            const run = { rows, length: batch === "prefill" ? rows : 1 };
            const output = given.upload("poisoned", new Float32Array(rows * n).fill(Number.NaN));
            const product = {
              weight,
              bias,
              input: { buffer: x, stride: k },
              output: { buffer: output, stride: n },
              epilogue: "store",
            } as const;
            const list =
              batch === undefined
                ? linearRow(given.host, product)
                : linearTiled(given.host, given.run(run), product, batch);
            given.submit(list, run);
            return given.integers(output);
          };
          const right = await bitsOf();
          if (!new Float32Array(right.buffer).every(Number.isFinite)) {
            throw new Error(`${format}: a row at a time gives values that are not finite`);
          }
          for (const batch of batches) {
            const tiles = await bitsOf(batch);
            const differ = right.reduce((sum, value, i) => sum + (value === tiles[i] ? 0 : 1), 0);
            found.push(less(`values of ${rows * n} that differ, ${format}, tiles for ${batch}`, differ, ""));
          }
        }
        return found;
      },
      close: () => given.destroy(),
    };
  },
};
