import type { RunShape } from "../../kernels/kernel.ts";
import { layerNormReference } from "../../kernels/layer-norm/reference.ts";
import {
  type Epilogue,
  linearRow,
  linearTiled,
  type Product,
  type TileBatch,
} from "../../kernels/linear/linear.ts";
import { activationReference, gluReference, linearReference } from "../../kernels/linear/reference.ts";
import { matrixBytes, type WeightFormat, weightFormats } from "../../kernels/matrix.ts";
import { keptReference } from "../../kernels/pack-weight/reference.ts";
import type { Bench, BenchCase } from "../harness/case.ts";
import { type Given, randomFloats } from "./given.ts";
import { type KernelWork, kernelCase, promptRows } from "./kernel-case.ts";

/** A product at a model's size: Y = epilogue(X Wᵀ + b), W `[n, k]`. */
interface Shape {
  readonly of: string;
  readonly n: number;
  readonly k: number;
  readonly epilogue: "store" | "gated" | "gelu" | "add";
  /** Whether the input is normed, in a product a row at a time. */
  readonly norm: boolean;
}

interface Size extends Shape {
  readonly rows: number;
  /** A row at a time, or in tiles of rows. */
  readonly by: "row" | TileBatch;
  /** Rows of W for a workgroup; by default as a model's products. */
  readonly rowsPerWorkgroup?: number;
}

/** The sizes of Pythia-160m, and of the default model's block and head. */
const shapes = ({ native }: Bench): Record<"up" | "down" | "head" | "nativeUp" | "nativeHead", Shape> => {
  const { size, inner } = native.shape;
  return {
    up: { of: "160m up", n: 3072, k: 768, epilogue: "gelu", norm: true },
    down: { of: "160m down", n: 768, k: 3072, epilogue: "add", norm: false },
    head: { of: "160m head", n: 50304, k: 768, epilogue: "store", norm: true },
    nativeUp: { of: "native up", n: 2 * inner, k: size, epilogue: "gated", norm: true },
    nativeHead: { of: "native head", n: native.vocabulary, k: size, epilogue: "store", norm: true },
  };
};

/** The most rows of W, and of X, whose outputs are compared. */
const COMPARED = { units: 64, rows: 4 };

/** `count` whole numbers below `bound`, spread over the range, including the last one. */
const spread = (most: number, bound: number): number[] => {
  const count = Math.min(most, bound);
  return Array.from({ length: count }, (_, i) => Math.floor(((i + 1) * bound) / count) - 1);
};

const gather = (values: Float32Array<ArrayBuffer>, width: number, rows: readonly number[]) => {
  const out = new Float32Array(rows.length * width);
  rows.forEach((row, i) => {
    out.set(values.subarray(row * width, (row + 1) * width), i * width);
  });
  return out;
};

interface Data {
  readonly x: Float32Array<ArrayBuffer>;
  readonly weight: Float32Array<ArrayBuffer>;
  readonly bias: Float32Array<ArrayBuffer>;
  readonly norm: Float32Array<ArrayBuffer>;
  readonly before: Float32Array<ArrayBuffer>;
}

const outputsOf = ({ epilogue, n }: Shape): number => (epilogue === "gated" ? n / 2 : n);

function work(given: Given, bench: Bench, size: Size, data: Data, format: WeightFormat): KernelWork {
  const { rows, n, k, epilogue, by, rowsPerWorkgroup } = size;
  const outputs = outputsOf(size);
  const gated = epilogue === "gated";
  const run: RunShape = { rows, length: by === "row" ? 1 : rows };
  const bias = gated ? data.bias.map((_, i) => data.bias[(i >> 1) + (i % 2) * outputs]!) : data.bias;
  const out = given.upload("out", data.before);
  const first = given.matrix(data.weight, [n, k], format, gated);
  const bytes = matrixBytes(n, k, format);
  // The weights of a large model come from memory, so they do here; those of the default model stay in a GPU's caches.
  const copies = size.of.startsWith("native") ? 1 : Math.min(256, Math.ceil(bench.uncached / bytes));
  const weights = [first, ...Array.from({ length: copies - 1 }, () => given.copyOf(first))];
  const shared = {
    bias: given.upload("bias", bias),
    input: { buffer: given.upload("x", data.x), stride: k },
    output: { buffer: out, stride: outputs },
    epilogue: epilogue as Epilogue,
  };
  const norm = size.norm && by === "row" ? given.upload("norm", data.norm) : undefined;
  const shape = given.run(run);
  const lists = weights.map((weight) => {
    const product: Product = { ...shared, weight };
    return by === "row"
      ? linearRow(given.host, product, norm, rowsPerWorkgroup)
      : linearTiled(given.host, shape, product, by);
  });
  const kind =
    by === "row" ? "linear-row" : by === "prefill" ? "linear for prompts" : `linear for ${by} rows`;
  return {
    name: `${kind}, ${size.of} ${n}×${k}${norm ? ", norm" : ""}, ${rows === 1 ? "1 row" : `${rows} rows`}, ${format}${rowsPerWorkgroup ? `, ${rowsPerWorkgroup} a workgroup` : ""}`,
    run,
    lists,
    bytes: bytes + 4 * n + 4 * rows * (k + outputs * (epilogue === "add" ? 2 : 1)),
    flops: 2 * rows * n * k,
    async compare() {
      const units = spread(COMPARED.units, outputs);
      const some = spread(COMPARED.rows, rows);
      const ofW = gated ? [...units, ...units.map((unit) => unit + outputs)] : units;
      const x = gather(data.x, k, some);
      const input = norm ? layerNormReference(x, data.norm.subarray(0, k), data.norm.subarray(k), k) : x;
      const kept = keptReference(gather(data.weight, k, ofW), k, format);
      const sums = linearReference(input, kept, gather(data.bias, 1, ofW), [some.length, ofW.length, k]);
      const before = some.flatMap((row) => units.map((unit) => data.before[row * outputs + unit]!));
      const values = await given.floats(out);
      const actual = some.flatMap((row) => units.map((unit) => values[row * outputs + unit]!));
      if (gated) return [actual, gluReference(sums, units.length)];
      if (epilogue === "add") return [actual, sums.map((sum, i) => sum + before[i]!)];
      return [actual, epilogue === "gelu" ? sums.map(activationReference.gelu) : sums];
    },
  };
}

/** Works that share one input and one matrix; `sizes` differ only in how the product is done. */
export function productWorks(
  given: Given,
  bench: Bench,
  sizes: readonly Size[],
  formats: readonly WeightFormat[],
): KernelWork[] {
  const [size] = sizes;
  if (!size) return [];
  const { rows, n, k } = size;
  const data: Data = {
    x: randomFloats(1, rows * k),
    weight: randomFloats(2, n * k),
    bias: randomFloats(3, n),
    norm: randomFloats(4, 2 * k),
    before: randomFloats(5, rows * outputsOf(size)),
  };
  return formats.flatMap((format) => sizes.map((each) => work(given, bench, each, data, format)));
}

const productCase = (
  name: string,
  sizeOf: (bench: Bench) => Size,
  formats: readonly WeightFormat[],
): BenchCase => kernelCase(name, (given, bench) => productWorks(given, bench, [sizeOf(bench)], formats));

type Name = keyof ReturnType<typeof shapes>;

const byRow = (name: Name): BenchCase =>
  productCase(
    `linear-row ${name}`,
    (bench) => ({ ...shapes(bench)[name], rows: 1, by: "row" }),
    weightFormats,
  );

const tiled = (name: Name, by: TileBatch): BenchCase =>
  productCase(
    `linear ${name} for ${by === "prefill" ? "prompts" : `${by} rows`}`,
    (bench) => ({ ...shapes(bench)[name], rows: by === "prefill" ? promptRows(bench) : by, by }),
    weightFormats,
  );

/** The products, which take most of a model's time. */
export const productCases: readonly BenchCase[] = [
  byRow("nativeUp"),
  byRow("nativeHead"),
  byRow("up"),
  byRow("down"),
  byRow("head"),
  tiled("nativeUp", "prefill"),
  tiled("up", "prefill"),
  tiled("down", "prefill"),
  tiled("up", 16),
  tiled("up", 32),
];
