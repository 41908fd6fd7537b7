import { decoderProducts } from "../../engine/families/load-decoder.ts";
import type { WeightFormat } from "../../kernels/matrix.ts";
import type { BenchCase } from "../harness/case.ts";
import { kernelCase } from "../kernels/kernel-case.ts";
import { productWorks } from "../kernels/products.ts";
import { type GeometryName, geometries } from "../random-model.ts";

const formats: readonly WeightFormat[] = ["f16", "q4"];
const epilogues = { qkv: "store", out: "add", up: "gated", down: "add" } as const;
export const rowCounts = [2, 4, 8, 16] as const;

/** The four products of a Llama's layer in a decode step, by the rows of the matrix that a workgroup takes. */
export const decodeProducts = (geometry: GeometryName): readonly BenchCase[] => {
  const { family, config } = geometries[geometry];
  const products = decoderProducts(family, family.parse(config, geometry));
  return (Object.keys(epilogues) as (keyof typeof epilogues)[]).flatMap((name) => {
    const { rows: n, columns: k } = products.find((of) => of.name === name)!;
    const norm = name === "qkv" || name === "up";
    const shape = { of: `${geometry} ${name}`, n, k, epilogue: epilogues[name], norm };
    return formats.map((format) => ({
      ...kernelCase(`product ${geometry} ${name} ${format}`, (given, bench) =>
        productWorks(
          given,
          bench,
          rowCounts.map((rowsPerWorkgroup) => ({ ...shape, rows: 1, by: "row", rowsPerWorkgroup })),
          [format],
        ),
      ),
      group: "gpu" as const,
      onlyNamed: true,
    }));
  });
};
