import { describe, expect, it } from "vitest";
import { firstDifference, randomFloats, testGpu, uploadMatrix } from "../../test/gpu.ts";
import { type Matrix, slicesOf, type WeightFormat } from "../matrix.ts";
import { fromFloat16Bits, packReference, roundToFloat16 } from "./reference.ts";

const gpu = await testGpu();

/** A packed matrix, read back as numbers. */
async function unpacked(weight: Matrix): Promise<Float32Array> {
  if (weight.format === "f32") return gpu.readFloats(weight.buffer);
  return Float32Array.from(new Uint16Array(await gpu.read(weight.buffer)), fromFloat16Bits);
}

/** The halves that `values`, a multiple of 32, are rounded to. */
async function halvesOf(values: Float32Array<ArrayBuffer>): Promise<Uint16Array> {
  const weight = uploadMatrix(gpu, values, [values.length / 32, 32], "f16");
  return new Uint16Array(await gpu.read(weight.buffer));
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

describe.each(["f32", "f16"] as WeightFormat[])("rows in %s", (format) => {
  it.each(shapes)("lie in order and padded with zeros, [%i, %i]", async (rows, columns) => {
    const values = randomFloats(rows, rows * columns);
    const padded = slicesOf(columns) * 32;
    const rounded = format === "f16" ? values.map(roundToFloat16) : values;
    for (const gated of [false, true]) {
      const weight = uploadMatrix(gpu, values, [rows, columns], format, { gated, margin: 3 });
      const all = await unpacked(weight);
      const packed = all.subarray(3 * padded, (3 + rows) * padded);
      const expected = packReference(rounded, [rows, columns], padded, gated);
      expect(firstDifference(packed, Float32Array.from(expected))).toBe(-1);
    }
  });

  it("leave the rows before and after them alone", async () => {
    const weight = uploadMatrix(gpu, randomFloats(1, 4 * 33), [4, 33], format, { margin: 2 });
    const words = new Uint32Array(await gpu.read(weight.buffer));
    const margin = (words.length / 8) * 2;
    expect(words.subarray(0, margin).every((word) => word === 0x7fc00000)).toBe(true);
    expect(words.subarray(-margin).every((word) => word === 0x7fc00000)).toBe(true);
  });

  it("are all converted where they outnumber the threads of one dispatch", async () => {
    const [rows, columns] = [2 ** 17, 33];
    const values = new Float32Array(rows * columns);
    for (let row = 0; row < rows; row++) values[row * columns + 32] = row % 2048;
    const weight = uploadMatrix(gpu, values, [rows, columns], format);
    const bytes = weight.buffer.size / rows;
    const last = (await gpu.read(weight.buffer, (rows - 1) * bytes, bytes)).slice(bytes / 2);
    const first = format === "f32" ? new Float32Array(last)[0] : fromFloat16Bits(new Uint16Array(last)[0]!);
    expect(first).toBe(2047);
  });
});
