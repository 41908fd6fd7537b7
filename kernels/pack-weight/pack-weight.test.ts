import { describe, expect, it } from "vitest";
import {
  bindingAtMost,
  firstDifference,
  mulberry32,
  poisoned,
  randomFloats,
  readMatrix,
  runDispatches,
  sideBySide,
  testGpu,
  uploadMatrix,
} from "../../test/gpu.ts";
import { type Matrix, matrixBytes, slicesOf, weightFormats } from "../matrix.ts";
import { PACK_ERROR_BYTES, packError, packWeight, relativePackError } from "./pack-weight.ts";
import {
  fromFloat16Bits,
  keptReference,
  packReference,
  quantize4Reference,
  quantize8Reference,
  roundToFloat16,
} from "./reference.ts";

const gpu = await testGpu();

/** A packed matrix, read back as numbers. */
async function unpacked(weight: Matrix): Promise<Float32Array> {
  const words = (await readMatrix(gpu, weight)).slice();
  if (weight.format === "f32") return new Float32Array(words.buffer);
  return Float32Array.from(new Uint16Array(words.buffer), fromFloat16Bits);
}

/** The halves that `values`, a multiple of 32, are rounded to. */
async function halvesOf(values: Float32Array<ArrayBuffer>): Promise<Uint16Array> {
  const weight = uploadMatrix(gpu, values, [values.length / 32, 32], "f16");
  return new Uint16Array((await readMatrix(gpu, weight)).slice().buffer);
}

/** Numbers at, just below and just above every half and every midpoint of two, of both signs. */
function interestingFloats(): Float32Array<ArrayBuffer> {
  const points = [65504, 65519.996, 65520, 1e6, 3e38, 1e-30];
  for (let bits = 0; bits < 0x7c00; bits++) {
    const half = fromFloat16Bits(bits);
    const next = bits === 0x7bff ? 65536 : fromFloat16Bits(bits + 1);
    points.push(half, (half + next) / 2);
  }
  const words = new Uint32Array(Float32Array.from(points).buffer);
  const around = Array.from(words).flatMap((word) => [word, word + 1, Math.max(0, word - 1)]);
  const signed = around.flatMap((word) => [word, (word | 0x80000000) >>> 0]);
  return new Float32Array(Uint32Array.from(signed).buffer);
}

describe("halves", () => {
  it("all come back as they were", async () => {
    const bits = Uint32Array.from({ length: 65536 }, (_, i) => i);
    const halves = await halvesOf(Float32Array.from(bits, fromFloat16Bits));
    const wrong = bits.filter((word) => {
      const isNaN16 = (word & 0x7fff) > 0x7c00;
      return isNaN16 ? (halves[word]! & 0x7fff) <= 0x7c00 : halves[word] !== word;
    });
    expect(wrong).toHaveLength(0);
  });

  it("are the nearest to a float, ties to even", async () => {
    const floats = interestingFloats();
    const padded = new Float32Array(Math.ceil(floats.length / 32) * 32);
    padded.set(floats);
    const halves = await halvesOf(padded);
    const wrong = [...padded.keys()].filter(
      (i) => !Object.is(fromFloat16Bits(halves[i]!), roundToFloat16(padded[i]!)),
    );
    expect(wrong.map((i) => [padded[i], fromFloat16Bits(halves[i]!)])).toEqual([]);
  });
});

const shapes: [number, number][] = [
  [2, 1],
  [34, 2],
  [4, 33],
  [66, 48],
  [2, 64],
  [130, 65],
  [8, 769],
];

describe.each([
  ["f32", "rows"],
  ["f32", "interleaved"],
  ["f16", "rows"],
  ["f16", "interleaved"],
] as const)("rows in %s, laid out as %s", (format, layout) => {
  it.each(shapes)("lie in order and padded with zeros, [%i, %i]", async (rows, columns) => {
    const values = randomFloats(rows, rows * columns);
    const padded = slicesOf(columns) * 32;
    const rounded = format === "f16" ? values.map(roundToFloat16) : values;
    for (const gated of [false, true]) {
      const weight = uploadMatrix(gpu, values, [rows, columns], format, { gated, margin: 3, layout });
      const all = await unpacked(weight);
      const packed = all.subarray(3 * padded, (3 + rows) * padded);
      const expected = packReference(rounded, [rows, columns], padded, gated);
      expect(firstDifference(packed, Float32Array.from(expected))).toBe(-1);
    }
  });

  it("are all converted where they outnumber the threads of one dispatch", async () => {
    const [rows, columns] = [2 ** 17, 33];
    const values = new Float32Array(rows * columns);
    for (let row = 0; row < rows; row++) values[row * columns + 32] = row % 2048;
    const weight = uploadMatrix(gpu, values, [rows, columns], format, { layout });
    expect((await unpacked(weight)).at(-32)).toBe(2047);
  });
});

/** Slices of 32 that are hard to quantize. */
function hardSlices(): Float32Array<ArrayBuffer> {
  const next = mulberry32(7);
  const slice = (make: (i: number) => number) => Float32Array.from({ length: 32 }, (_, i) => make(i));
  const bits = (x: number, change: number) => {
    const words = new Uint32Array(Float32Array.of(x).buffer);
    words[0]! += change;
    return new Float32Array(words.buffer)[0]!;
  };
  const ties = (scale: number, top: number, change: number) =>
    slice((i) => (i === 0 ? top * scale : bits(((i * 5) % top) * scale + scale / 2, change)));
  const largest = 3.4028234663852886e38;
  const slices = [
    slice(() => 0),
    slice(() => -0),
    ...[0.1, -0.1, 1, -127, 65504, -65504, 1e-30, 1e-40, largest].map((x) => slice(() => x)),
    ...[1e-39, 1e-30, 2 ** -80, 1e-20, 1e-7, 65504, 65520, 1e20, largest].flatMap((size) => [
      slice(() => (2 * next() - 1) * size),
      slice((i) => (i % 2 ? size : -size)),
      slice((i) => (i === 3 ? size : 0)),
      slice((i) => (i === 3 ? -size : next() * size * 1e-3)),
    ]),
    ...[1, 2 ** -20, 3, 0.7109375].flatMap((scale) =>
      [-1, 0, 1].flatMap((change) => [
        ties(scale, 127, change),
        ties(scale, 15, change),
        ties(scale, 127, change).map((x) => -x),
        ties(scale, 15, change).map((x) => 100 * scale - x),
      ]),
    ),
    ...[0, 1, 2, 7].map((change) => slice((i) => bits(i % 3 ? 0.1 : -0.1, i % 2 ? change : 0))),
    ...[0, 1, 2, 7].map((change) => slice((i) => bits(0.1, i % 2 ? change : 0))),
    ...Array.from({ length: 2000 }, (_, i) =>
      randomFloats(i, 32, -(2 ** ((i % 40) - 30)), 2 ** ((i % 29) - 20)),
    ),
    ...Array.from({ length: 2000 }, () => {
      const grid = 2 ** -Math.floor(12 * next());
      return slice(() => Math.round(40 * next() - 20) * grid);
    }),
  ];
  const out = new Float32Array(slices.length * 32);
  slices.forEach((values, i) => {
    out.set(values, 32 * i);
  });
  return out;
}

describe.each([
  ["q8", "rows", quantize8Reference, 9],
  ["q8", "interleaved", quantize8Reference, 9],
  ["q4", "rows", quantize4Reference, 5],
  ["q4", "interleaved", quantize4Reference, 5],
] as const)("slices in %s, laid out as %s", (format, layout, quantize, size) => {
  it("are, word for word, the reference's", async () => {
    const values = hardSlices();
    const weight = uploadMatrix(gpu, values, [values.length / 32, 32], format, { layout });
    const words = await readMatrix(gpu, weight);
    const wrong = [];
    for (let i = 0; i < values.length / 32; i++) {
      const slice = values.subarray(32 * i, 32 * i + 32);
      const own = words.subarray(size * i, size * (i + 1));
      const expected = quantize(slice).words;
      if (firstDifference(own, expected) >= 0) wrong.push({ slice, own, expected });
    }
    expect(wrong).toEqual([]);
  });

  it.each(shapes)("lie in order, each quantized by itself, [%i, %i]", async (rows, columns) => {
    const values = randomFloats(rows, rows * columns);
    for (const gated of [false, true]) {
      const weight = uploadMatrix(gpu, values, [rows, columns], format, { gated, margin: 3, layout });
      const words = await readMatrix(gpu, weight);
      const slices = slicesOf(columns);
      for (let row = 0; row < rows; row++) {
        const origin = gated ? Math.floor(row / 2) + (row % 2) * (rows / 2) : row;
        for (let slice = 0; slice < slices; slice++) {
          const start = origin * columns + 32 * slice;
          const end = Math.min(start + 32, (origin + 1) * columns);
          const at = ((row + 3) * slices + slice) * size;
          const expected = quantize(values.subarray(start, end)).words;
          expect(firstDifference(words.subarray(at, at + size), expected)).toBe(-1);
        }
      }
    }
  });

  it("keep weights to half a step", () => {
    for (let seed = 0; seed < 50; seed++) {
      const slice = randomFloats(seed, 32, -0.3, seed / 10);
      const range =
        format === "q8"
          ? Math.max(...slice.map(Math.abs)) / 127
          : (Math.max(...slice) - Math.min(...slice)) / 15;
      const kept = quantize(slice).values;
      expect(Math.max(...slice.map((x, i) => Math.abs(x - kept[i]!)))).toBeLessThan(0.51 * range);
    }
  });
});

const packings = weightFormats.flatMap((format) =>
  (["rows", "interleaved"] as const).map((layout) => [format, layout] as const),
);

describe.each(packings)("rows packed in %s, laid out as %s", (format, layout) => {
  it("leave the rows before and after them alone", async () => {
    const weight = uploadMatrix(gpu, randomFloats(1, 4 * 33), [4, 33], format, { margin: 2, layout });
    const words = await readMatrix(gpu, weight);
    const margin = (words.length / 8) * 2;
    expect(words.subarray(0, margin).every((word) => word === 0x7fc00000)).toBe(true);
    expect(words.subarray(-margin).every((word) => word === 0x7fc00000)).toBe(true);
  });

  it("differ from those read by a relative error that the GPU tells", async () => {
    for (const [rows, columns, gated] of [
      [34, 65, true],
      [130, 300, false],
    ] as const) {
      const values = randomFloats(rows, rows * columns, -0.4, 0.3);
      const matrix = gpu.upload("matrix", values);
      const places = gated ? gpu.upload("places", sideBySide(rows, 1)) : undefined;
      const kept = keptReference(values, columns, format);
      const norm = (of: Float32Array) => Math.sqrt(of.reduce((sum, x) => sum + x * x, 0));
      const expected = norm(values.map((x, k) => x - kept[k]!)) / norm(values);
      const bounds = { f32: [0, 0], f16: [1e-5, 5e-4], q8: [1e-3, 1e-2], q4: [0.01, 0.1] }[format];
      const bytes = (count: number) => matrixBytes(count, columns, format, layout);
      // Bound whole, and in parts of 64 rows.
      for (const host of [gpu, bindingAtMost(gpu, bytes(64))]) {
        const buffer = poisoned(gpu, "weight", bytes(rows + 1) / 4);
        const weight = { buffer, rows: rows + 1, columns, format, layout };
        const sums = poisoned(gpu, "sums", PACK_ERROR_BYTES / 4);
        const packing = { matrix, rows, weight, firstRow: 1, places };
        const dispatches = [...packWeight(host, packing), ...packError(host, packing, sums)];
        expect(dispatches).toHaveLength(host === gpu ? 2 : 2 * Math.ceil((rows + 1) / 64));
        await runDispatches(gpu, dispatches, { rows: 1, length: 1 });
        const error = relativePackError(await gpu.readFloats(sums));
        expect(Math.abs(error - expected)).toBeLessThanOrEqual(1e-5 * expected);
        expect(error).toBeGreaterThanOrEqual(bounds[0]!);
        expect(error).toBeLessThanOrEqual(bounds[1]!);
      }
    }
  });
});

it("a matrix of zeros has no error", () => {
  expect(relativePackError([0, 0, 0, 0])).toBe(0);
});
