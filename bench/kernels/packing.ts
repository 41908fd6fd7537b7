import { relativeError } from "../../engine/goldens.ts";
import { embed } from "../../kernels/embed/embed.ts";
import { matrixBytes, weightFormats } from "../../kernels/matrix.ts";
import {
  PACK_ERROR_BYTES,
  packError,
  packWeight,
  relativePackError,
} from "../../kernels/pack-weight/pack-weight.ts";
import { keptReference } from "../../kernels/pack-weight/reference.ts";
import type { BenchCase } from "../harness/case.ts";
import { randomFloats } from "./given.ts";
import { type KernelWork, kernelCase } from "./kernel-case.ts";

const [ROWS, COLUMNS] = [3072, 768];
const once = { rows: 1, length: 1 };

/** The kernels of loading: they pack weights as read from a file, and measure the loss. */
const packing = kernelCase("pack-weight", (given) => {
  const values = randomFloats(1, ROWS * COLUMNS);
  const matrix = given.upload("matrix", values);
  return weightFormats.flatMap((format): KernelWork[] => {
    const layout = given.host.weightLayout;
    const buffer = given.words("weight", matrixBytes(ROWS, COLUMNS, format, layout) / 4);
    const weight = { buffer, rows: ROWS, columns: COLUMNS, format, layout };
    const pack = { matrix, rows: ROWS, weight };
    const kept = keptReference(values.slice(0, 64 * COLUMNS), COLUMNS, format);
    const sums = given.words("sums", PACK_ERROR_BYTES / 4);
    const bytes = 4 * ROWS * COLUMNS + matrixBytes(ROWS, COLUMNS, format);
    return [
      {
        name: `pack-weight, ${ROWS}×${COLUMNS}, ${format}`,
        run: once,
        lists: [packWeight(given.host, pack)],
        bytes,
        flops: 0,
        async compare() {
          // As the embedding's kernel reads it.
          const run = { rows: 64, length: 64 };
          const h = given.words("h", 64 * COLUMNS);
          const buffers = {
            run: given.run(run),
            schedule: given.schedule(),
            tokens: given.upload(
              "tokens",
              Uint32Array.from({ length: 64 }, (_, i) => i),
            ),
            counts: given.words("counts", ROWS),
            h,
          };
          given.submit(embed(given.host, weight, buffers), run);
          return [await given.floats(h, 0, kept.length), kept];
        },
        tolerance: 0,
      },
      {
        name: `pack-error, ${ROWS}×${COLUMNS}, ${format}`,
        run: once,
        lists: [packError(given.host, pack, sums)],
        bytes,
        flops: 0,
        async compare() {
          // The reference computes only some of the rows, which are all alike.
          const right = relativeError(kept, values.subarray(0, kept.length));
          return [[relativePackError(await given.floats(sums))], [right]];
        },
        tolerance: 0.02,
      },
    ];
  });
});

export const packingCases: readonly BenchCase[] = [packing];
