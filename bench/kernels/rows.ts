import { add } from "../../kernels/add/add.ts";
import { addReference } from "../../kernels/add/reference.ts";
import { embed } from "../../kernels/embed/embed.ts";
import { embedReference } from "../../kernels/embed/reference.ts";
import type { RunShape } from "../../kernels/kernel.ts";
import { layerNorm } from "../../kernels/layer-norm/layer-norm.ts";
import { layerNormReference } from "../../kernels/layer-norm/reference.ts";
import { matrixBytes, weightFormats } from "../../kernels/matrix.ts";
import { keptReference } from "../../kernels/pack-weight/reference.ts";
import { scaleRowsReference } from "../../kernels/scale-rows/reference.ts";
import { scaleRows } from "../../kernels/scale-rows/scale-rows.ts";
import type { BenchCase } from "../harness/case.ts";
import { randomFloats, randomIntegers } from "./given.ts";
import { type KernelWork, kernelCase } from "./kernel-case.ts";

/** Pythia-160m's. */
const SIZE = 768;
const VOCABULARY = 50_304;

const shapes: readonly RunShape[] = [
  { rows: 1, length: 1 },
  { rows: 256, length: 256 },
];
const rowsOf = ({ rows }: RunShape): string => (rows === 1 ? "1 row" : `${rows} rows`);

const norms = kernelCase("layer-norm", (given) =>
  shapes.map((run): KernelWork => {
    const count = run.rows * SIZE;
    const [h, norm] = [randomFloats(1, count, -3, 5), randomFloats(2, 2 * SIZE)];
    const out = given.words("out", count);
    const buffers = { h: given.upload("h", h), norm: given.upload("norm", norm), out };
    return {
      name: `layer-norm, ${SIZE}, ${rowsOf(run)}`,
      run,
      lists: [[layerNorm(given.host, SIZE, buffers)]],
      bytes: 4 * (2 * count + 2 * SIZE),
      flops: 8 * count,
      compare: async () => [
        await given.floats(out, 0, count),
        layerNormReference(h, norm.subarray(0, SIZE), norm.subarray(SIZE), SIZE),
      ],
    };
  }),
);

const adds = kernelCase("add", (given) =>
  shapes.map((run): KernelWork => {
    const count = run.rows * SIZE;
    const [h, x] = [randomFloats(1, count), randomFloats(2, count)];
    const sum = given.upload("h", h);
    return {
      name: `add, ${SIZE}, ${rowsOf(run)}`,
      run,
      lists: [[add(given.host, SIZE, { x: given.upload("x", x), h: sum })]],
      bytes: 12 * count,
      flops: count,
      compare: async () => [await given.floats(sum), addReference(h, x, SIZE, SIZE)],
    };
  }),
);

const scales = kernelCase("scale-rows", (given) =>
  shapes.map((run): KernelWork => {
    const count = run.rows * SIZE;
    const [x, factors] = [randomFloats(1, count), randomFloats(2, run.rows)];
    const out = given.words("out", count);
    const buffers = { x: given.upload("x", x), scales: given.upload("scales", factors), out };
    return {
      name: `scale-rows, ${SIZE}, ${rowsOf(run)}`,
      run,
      lists: [[scaleRows(given.host, SIZE, buffers)]],
      bytes: 8 * count + 4 * run.rows,
      flops: count,
      compare: async () => [await given.floats(out, 0, count), scaleRowsReference(x, factors, SIZE, SIZE)],
    };
  }),
);

const embeds = kernelCase("embed", (given) => {
  const table = randomFloats(1, VOCABULARY * SIZE);
  const run = shapes[1]!;
  const tokens = randomIntegers(2, run.rows, VOCABULARY);
  return weightFormats.map((format): KernelWork => {
    const h = given.words("h", run.rows * SIZE);
    const buffers = {
      run: given.run(run),
      schedule: given.schedule(),
      tokens: given.upload("tokens", tokens),
      counts: given.words("counts", VOCABULARY),
      h,
    };
    return {
      name: `embed, ${VOCABULARY}×${SIZE}, ${rowsOf(run)}, ${format}`,
      run,
      lists: [embed(given.host, given.matrix(table, [VOCABULARY, SIZE], format), buffers)],
      bytes: matrixBytes(run.rows, SIZE, format) + run.rows * (4 * SIZE + 12),
      flops: 0,
      async compare() {
        const looked = embedReference(tokens, table, SIZE);
        const kept = keptReference(Float32Array.from(looked), SIZE, format);
        return [await given.floats(h, 0, kept.length), kept];
      },
    };
  });
});

/** Operations on rows of activations, at Pythia-160m's size. */
export const rowCases: readonly BenchCase[] = [norms, adds, scales, embeds];
