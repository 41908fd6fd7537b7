import { describe, expect, it } from "vitest";
import {
  bindingAtMost,
  firstDifference,
  gpuTilesHost,
  poisoned,
  randomFloats,
  relativeError,
  runDispatches,
  sharedLoadHost,
  sharedLoadHosts,
  testGpu,
  untouched,
  uploadMatrix,
  uploadRun,
} from "../../test/gpu.ts";
import type { Dispatch, KernelHost, WeightLayout } from "../kernel.ts";
import { layerNorm, type Norm } from "../layer-norm/layer-norm.ts";
import { layerNormReference, type NormKind } from "../layer-norm/reference.ts";
import { bindingsOf, matrixBytes, type WeightFormat, weightFormats } from "../matrix.ts";
import { keptReference } from "../pack-weight/reference.ts";
import { type Epilogue, linearRow, linearTiled, type Product } from "./linear.ts";
import {
  activationReference,
  gluReference,
  linearReference,
  sigmoidReference,
  swigluReference,
} from "./reference.ts";

const gpu = await testGpu();

/** The sizes of a product: K inputs, N rows of W; a gated unit has two rows per output. */
interface Case {
  readonly rows: number;
  readonly k: number;
  readonly n: number;
  readonly epilogue: Epilogue;
  readonly format: WeightFormat;
  readonly bias: boolean;
}

const base: Case = { rows: 33, k: 65, n: 48, epilogue: "store", format: "f32", bias: true };

const isGated = ({ epilogue }: Case) => epilogue === "gated" || epilogue === "swiglu";

function dataOf(c: Case) {
  const outputs = isGated(c) ? c.n / 2 : c.n;
  return {
    outputs,
    x: randomFloats(c.k, c.rows * c.k),
    weight: randomFloats(c.k + 1, c.n * c.k),
    bias: randomFloats(c.k + 2, c.n),
    before: randomFloats(c.k + 3, c.rows * outputs),
    norm: randomFloats(c.k + 4, 2 * c.k),
  };
}

const interleaved = (bias: Float32Array): Float32Array<ArrayBuffer> =>
  Float32Array.from(bias, (_, i) => bias[Math.floor(i / 2) + (i % 2) * (bias.length / 2)]!);

function expectedOf(c: Case, kind?: NormKind): Float64Array {
  const { x, weight, bias, before, norm } = dataOf(c);
  const input = kind ? layerNormReference(x, norm.subarray(0, c.k), norm.subarray(c.k), c.k, kind) : x;
  const rounded = keptReference(weight, c.k, c.format);
  const sums = linearReference(input, rounded, c.bias ? bias : undefined, [c.rows, c.n, c.k]);
  if (c.epilogue === "gated") return gluReference(sums, c.n / 2);
  if (c.epilogue === "swiglu") return swigluReference(sums, c.n / 2);
  if (c.epilogue === "add") return sums.map((sum, i) => sum + before[i]!);
  return c.epilogue === "store" ? sums : sums.map(activationReference[c.epilogue]);
}

/**
 * Runs the dispatches of `make` on the data of the case, into poisoned memory, and checks that nothing behind the output
 * changed.
 */
async function run(
  c: Case,
  make: (p: Product, run: GPUBuffer, norm: GPUBuffer) => Dispatch[],
  layout: WeightLayout = "rows",
): Promise<Float32Array> {
  const { outputs, x, weight, bias, before, norm } = dataOf(c);
  const gated = isGated(c);
  const count = c.rows * outputs;
  const out = poisoned(gpu, "out", count + 64, c.epilogue === "add" ? before : []);
  const product: Product = {
    weight: uploadMatrix(gpu, weight, [c.n, c.k], c.format, { gated, layout }),
    ...(c.bias ? { bias: gpu.upload("bias", gated ? interleaved(bias) : bias) } : {}),
    input: { buffer: gpu.upload("x", x), stride: c.k },
    output: { buffer: out, stride: outputs },
    epilogue: c.epilogue,
  };
  const shape = { rows: c.rows, length: c.rows };
  await runDispatches(gpu, make(product, uploadRun(gpu, shape), gpu.upload("norm", norm)), shape);
  const values = await gpu.readFloats(out);
  expect(untouched(values, count)).toBe(true);
  return values.subarray(0, count);
}

const tiled = (c: Case) => run(c, (p, shape) => linearTiled(gpu, shape, p));
const byRow = (c: Case, rowsPerWorkgroup?: number) =>
  run(c, (p) => linearRow(gpu, p, undefined, rowsPerWorkgroup));

/**
 * Every other way to compute the same bits: through a workgroup's memory, and by lanes that share loads where the adapter
 * can.
 */
const hosts = sharedLoadHosts(gpu);
type Way = [name: string, make: (p: Product, shape: GPUBuffer) => Dispatch[], layout: WeightLayout];
const inTiles = (name: string, host: KernelHost, layout: WeightLayout): Way[] =>
  ([16, 32, "prefill"] as const).map((rows) => [
    `${rows}, ${name}`,
    (p, shape) => linearTiled(host, shape, p, rows),
    layout,
  ]);
const gpuTiles = inTiles("in a GPU's tiles", gpuTilesHost(gpu), "interleaved");
const ways = [
  ...hosts.flatMap((host) =>
    (["rows", "interleaved"] as const).flatMap((layout): Way[] => [
      [`row, ${layout}, ${host.sharedLoadLanes}`, (p) => linearRow(host, p), layout],
      ...inTiles(`${layout}, ${host.sharedLoadLanes}`, host, layout),
    ]),
  ),
  ...gpuTiles,
];

/** Interleaved rows are a GPU's choice: with lanes that share loads they are tried in f32 only. */
const isUnused = (name: string): boolean =>
  (gpu.mostSharedLoadLanes === 8 && name.endsWith(", 4")) || /interleaved, [48]$/.test(name);

/** One way per kernel that the adapter would run: for every number of rows the text is the same. */
const kernelWays = ways.filter(([name]) => /^(row|prefill), \w+, \d/.test(name) && !isUnused(name));

/** The same with the tiles that compile fastest: what becomes of a sum is one text in all kernels. */
const epilogueWays = ways.filter(([name]) => /^(row|16), \w+, \d/.test(name) && !isUnused(name));

/**
 * Rows, K, N and formats. Compiling is what these tests take time for: a row's kernel is compiled for each K, a tile's is not.
 * K is below a slice of 32, at its edges and those of a workgroup's 64 lanes, and more than one vec4 for each of them.
 */
const sizes: [rows: number, k: number, n: number, formats: readonly WeightFormat[]][] = [
  [1, 1, 1, ["f32"]],
  [2, 2, 33, weightFormats],
  [31, 33, 2, ["f32"]],
  [3, 48, 130, ["f32"]],
  [65, 63, 37, ["f32"]],
  [200, 64, 64, ["f32"]],
  [33, 65, 63, weightFormats],
  [31, 330, 260, weightFormats],
];

it.each(sizes.flatMap(([rows, k, n, formats]) => formats.map((format) => [rows, k, n, format] as const)))(
  "agrees with the reference on %i rows of %i by %i in %s",
  async (rows, k, n, format) => {
    const c = { ...base, rows, k, n, format };
    const values = await tiled(c);
    expect(relativeError(values, expectedOf(c))).toBeLessThan(2e-6);
    for (const [name, way, layout] of format === "f32" ? ways : kernelWays) {
      expect(firstDifference(await run(c, way, layout), values), name).toBe(-1);
    }
  },
);

it.each(["f16", "q8", "q4"] as const)(
  "gives the same bits in a GPU's tiles of a prompt in %s",
  async (format) => {
    const [, way, layout] = gpuTiles.find(([name]) => name.startsWith("prefill"))!;
    for (const rows of [33, 200]) {
      const c: Case = { ...base, rows, n: 63, format };
      const values = await run(c, way, layout);
      expect(relativeError(values, expectedOf(c))).toBeLessThan(2e-6);
      expect(firstDifference(values, await byRow(c)), `${rows}`).toBe(-1);
    }
  },
);

it("takes the tiles of a GPU that suit a pass's rows, or those of 64 rows alone", () => {
  const grids = (host: KernelHost, rows: number): string[] => {
    const weight = {
      buffer: gpu.storage("w", 4),
      rows: 130,
      columns: 8,
      format: "f32",
      layout: "rows",
    } as const;
    const io = { buffer: weight.buffer, stride: 8 };
    const made = linearTiled(host, uploadRun(gpu, { rows, length: rows }), {
      weight,
      input: io,
      output: io,
      epilogue: "store",
    });
    return made.flatMap(({ label, grid }) => {
      const [x, y] = grid({ rows, length: rows });
      return x * y > 0 ? [`${label} ${x} ${y}`] : [];
    });
  };
  const fit = gpuTilesHost(gpu);
  expect(grids(fit, 1)).toEqual(["linear-gpu-64-f32 5 1"]);
  expect(grids(fit, 64)).toEqual(["linear-gpu-64-f32 5 1"]);
  expect(grids(fit, 65)).toEqual(["linear-gpu-128-f32 3 1"]);
  expect(grids(fit, 129)).toEqual(["linear-gpu-128-f32 3 2"]);
  expect(grids(gpuTilesHost(gpu, "gpu-64"), 129)).toEqual(["linear-gpu-64-f32 5 3"]);
});

it.each([
  ["gated", "f32"],
  ["sigmoid", "f32"],
  ["gelu", "f32"],
  ["gelu_tanh", "f32"],
  ["relu", "f32"],
  ["silu", "f32"],
  ["add", "f16"],
  ["swiglu", "f16"],
  ["gated", "q8"],
  ["swiglu", "q4"],
] as const)("gives the same bits from every kernel for %s in %s", async (epilogue, format) => {
  const c = { ...base, epilogue, format };
  const [first, ...others] = epilogueWays;
  const values = await run(c, first![1], first![2]);
  expect(relativeError(values, expectedOf(c))).toBeLessThan(2e-6);
  for (const [name, way, layout] of others)
    expect(firstDifference(await run(c, way, layout), values), name).toBe(-1);
});

it.each([
  [33, "gated", "f16", {}],
  [65, "store", "f32", { eps: 0.1 }],
  [65, "gated", "q4", {}],
  [65, "store", "q8", { rms: true }],
  [330, "swiglu", "f16", { eps: 1e-6, rms: true }],
] as [number, Epilogue, WeightFormat, NormKind][])(
  "normalises %i inputs to the same bits within a row's product as before a batch's: %s, %s, %o",
  async (k, epilogue, format, kind) => {
    const c: Case = { ...base, k, epilogue, format };
    const apart = await run(c, (p, shape, buffer) => {
      const norm: Norm = { buffer, ...kind };
      const normed = poisoned(gpu, "normed", c.rows * k);
      const input = { buffer: normed, stride: k };
      return [
        layerNorm(gpu, k, { h: p.input.buffer, norm, out: normed }),
        ...linearTiled(gpu, shape, { ...p, input }, 16),
      ];
    });
    expect(relativeError(apart, expectedOf(c, kind))).toBeLessThan(2e-6);
    for (const host of hosts) {
      for (const layout of ["rows", "interleaved"] as const) {
        const together = await run(c, (p, _, buffer) => linearRow(host, p, { buffer, ...kind }), layout);
        expect(firstDifference(together, apart), `${host.sharedLoadLanes}, ${layout}`).toBe(-1);
      }
    }
  },
);

it("leaves a zero's sign where it adds nothing", async () => {
  const c: Case = { ...base, rows: 3, n: 34, epilogue: "add", format: "f16", bias: false };
  const before = new Float32Array(c.rows * c.n).fill(-0);
  for (const [name, make, layout] of epilogueWays) {
    const zeros = (p: Product, shape: GPUBuffer) => {
      gpu.device.queue.writeBuffer(p.output.buffer, 0, before);
      return make({ ...p, input: { ...p.input, buffer: gpu.storage("zeros", 4 * c.rows * c.k) } }, shape);
    };
    const found = await run(c, zeros, layout);
    expect(firstDifference(found, before), name).toBe(-1);
  }
});

it("gives the same bits without a bias", async () => {
  const c = { ...base, bias: false };
  const values = await tiled(c);
  expect(relativeError(values, expectedOf(c))).toBeLessThan(2e-6);
  for (const [name, way, layout] of kernelWays)
    expect(firstDifference(await run(c, way, layout), values), name).toBe(-1);
});

it("gives the same bits however many rows of W a workgroup takes", async () => {
  const c: Case = { ...base, rows: 3, n: 50, epilogue: "gated" };
  const values = await tiled(c);
  for (const rowsPerWorkgroup of [2, 6, 16, 32]) {
    expect(firstDifference(await byRow(c, rowsPerWorkgroup), values)).toBe(-1);
  }
});

// In f32 and 64 rows: 704 slices, for 256 threads.
it.each(weightFormats)(
  "gives the same bits however many rows a workgroup takes of an interleaved W in %s",
  async (format) => {
    const c: Case = { ...base, rows: 3, k: 330, n: 100, epilogue: "gated", format };
    const host = sharedLoadHost(gpu, 0);
    const norm = (buffer: GPUBuffer): Norm => ({ buffer, rms: true });
    const values = await run(c, (p, _, buffer) => linearRow(gpu, p, norm(buffer)));
    for (const rowsPerWorkgroup of [2, 4, 6, 16, 64]) {
      const make = (p: Product, _: GPUBuffer, buffer: GPUBuffer) =>
        linearRow(host, p, norm(buffer), rowsPerWorkgroup);
      expect(firstDifference(await run(c, make, "interleaved"), values), `${rowsPerWorkgroup}`).toBe(-1);
    }
  },
);

it("gives a row the same bits wherever it lies in the batch and however large that is", async () => {
  const c = { ...base, rows: 65 };
  const all = await tiled(c);
  const { x } = dataOf(c);
  for (const [first, rows] of [
    [0, 1],
    [64, 1],
    [31, 2],
    [5, 33],
  ] as const) {
    const slice = x.slice(first * c.k, (first + rows) * c.k);
    for (const [name, way, layout] of ways) {
      const part = await run(
        { ...c, rows },
        (p, shape) => way({ ...p, input: { ...p.input, buffer: gpu.upload("x", slice) } }, shape),
        layout,
      );
      expect(firstDifference(part, all.subarray(first * c.n, (first + rows) * c.n)), name).toBe(-1);
    }
  }
});

it("reads and writes only its columns and its rows of W", async () => {
  const [rows, k, n, first, inStride, inOffset, outStride, outOffset] = [5, 33, 34, 7, 70, 3, 90, 11];
  const x = randomFloats(1, rows * inStride);
  const weight = randomFloats(2, (first + n + 9) * k);
  const bias = randomFloats(3, first + n + 9);
  const taken = Array.from({ length: rows }, (_, row) =>
    Array.from(x.subarray(row * inStride + inOffset, row * inStride + inOffset + k)),
  );
  const expected = linearReference(
    taken.flat(),
    weight.subarray(first * k, (first + n) * k),
    bias.subarray(first, first + n),
    [rows, n, k],
  );
  const shape = { rows, length: rows };
  const run = uploadRun(gpu, shape);
  for (const [name, make, layout] of ways) {
    const out = poisoned(gpu, "out", rows * outStride);
    const product: Product = {
      weight: uploadMatrix(gpu, weight, [first + n + 9, k], "f32", { layout }),
      bias: gpu.upload("bias", bias),
      rows: [first, n],
      input: { buffer: gpu.upload("x", x), stride: inStride, offset: inOffset },
      output: { buffer: out, stride: outStride, offset: outOffset },
      epilogue: "store",
    };
    await runDispatches(gpu, make(product, run), shape);
    const values = await gpu.readFloats(out);
    for (let row = 0; row < rows; row++) {
      const own = values.subarray(row * outStride, (row + 1) * outStride);
      expect(untouched(own.subarray(0, outOffset), 0)).toBe(true);
      expect(untouched(own, outOffset + n)).toBe(true);
      expect(
        relativeError(own.subarray(outOffset, outOffset + n), expected.subarray(row * n, (row + 1) * n)),
        name,
      ).toBeLessThan(2e-6);
    }
  }
});

it("gives its bias alone where it has no columns", async () => {
  const c = { ...base, epilogue: "sigmoid" as const };
  const { bias } = dataOf(c);
  const values = await run(c, (p, shape) => linearTiled(gpu, shape, { ...p, columns: 0 }));
  const row = linearReference([], [], bias, [1, c.n, 0]).map(sigmoidReference);
  expect(
    relativeError(
      values,
      values.map((_, i) => row[i % c.n]!),
    ),
  ).toBeLessThan(1e-6);
});

it("keeps a gate finite however large its sum", async () => {
  const c: Case = { ...base, rows: 1, k: 1, n: 4, epilogue: "sigmoid", bias: true };
  const values = await run(c, (p, shape) =>
    linearTiled(gpu, shape, { ...p, bias: gpu.upload("bias", Float32Array.of(-1e6, -80, 80, 1e6)) }),
  );
  expect(values[0]).toBeLessThan(1e-30);
  expect(values[3]).toBe(1);
  expect(values.every((value) => value >= 0 && value <= 1)).toBe(true);
});

describe.each(
  weightFormats.flatMap((format) =>
    (["rows", "interleaved"] as const).map((layout) => [format, layout] as const),
  ),
)("a matrix in %s, laid out as %s, too large to bind", (format, layout) => {
  const k = 65;
  const bytes = (rows: number) => matrixBytes(rows, k, format, layout);
  const limit = bytes(64);

  it("is bound in parts of whole rows, which begin where a device lets them", () => {
    const weight = { buffer: gpu.storage("w", 16), rows: 300, columns: k, format, layout };
    const parts = bindingsOf(bindingAtMost(gpu, 2.5 * limit), weight);
    expect(parts.map(({ first, rows }) => [first, rows])).toEqual([
      [0, 128],
      [128, 128],
      [256, 44],
    ]);
    for (const { binding, first, rows } of parts) {
      expect(binding.offset ?? 0).toBe(bytes(first));
      expect((binding.offset ?? 0) % 256).toBe(0);
      expect(binding.size).toBe(bytes(rows));
    }
    expect(bindingsOf(bindingAtMost(gpu, 2.5 * limit), { ...weight, rows: 160 })).toHaveLength(1);
  });

  const products: [Epilogue, (readonly [number, number])?][] = [
    [format === "f16" || format === "q4" ? "swiglu" : "gated"],
    ["store", [70, 101]],
    ["store", [0, 64]],
  ];
  if (format === "f16") products.push(["add"]);

  it.each(products)(
    "gives the same bits for %s of rows %o as one that is bound whole",
    async (epilogue, part) => {
      const c: Case = { ...base, k, n: 202, format, epilogue, bias: true };
      const host = bindingAtMost(gpu, limit);
      const more = part ? { rows: part } : {};
      const whole = await run(c, (p, shape) => linearTiled(gpu, shape, { ...p, ...more }), layout);
      const dispatches: number[] = [];
      for (const make of [
        (p: Product, shape: GPUBuffer) => linearTiled(host, shape, { ...p, ...more }),
        (p: Product) => linearRow(host, { ...p, ...more }),
      ]) {
        const counted = (p: Product, shape: GPUBuffer) => {
          const made = make(p, shape);
          dispatches.push(made.length);
          return made;
        };
        const apart = await run(c, counted, layout);
        expect(firstDifference(apart, whole)).toBe(-1);
      }
      expect(dispatches).toEqual(part?.[1] === 64 ? [1, 1] : part ? [2, 2] : [4, 4]);
    },
  );
});
