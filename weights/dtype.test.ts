import { describe, expect, it } from "vitest";
import { elementCount, float32ToFloat16, toFloat32 } from "./dtype.ts";

const float = new Float32Array(1);
const word = new Uint32Array(float.buffer);

/** IEEE 754 half, by its definition. */
function half(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

describe("toFloat32", () => {
  it("decodes every half exactly", () => {
    const all = Uint16Array.from({ length: 65536 }, (_, i) => i);
    const values = toFloat32(new Uint8Array(all.buffer), "F16");
    const wrong = [...values].findIndex((value, i) => !Object.is(value, half(i)));
    expect(wrong).toBe(-1);
  });

  it("decodes bfloat16 as the upper half of a float32", () => {
    const bytes = new Uint8Array(Uint16Array.of(0x3f80, 0xc040, 0x7f80, 0x0001, 0x8000).buffer);
    expect([...toFloat32(bytes, "BF16")]).toEqual([1, -3, Number.POSITIVE_INFINITY, 2 ** -133, -0]);
  });

  it("decodes integers, booleans and doubles, rounding once to the nearest float32", () => {
    const bytes = (array: ArrayBufferView) => new Uint8Array(array.buffer);
    expect([
      ...toFloat32(bytes(BigInt64Array.of(0n, -1n, 2000n, -(2n ** 40n), -(2n ** 63n))), "I64"),
    ]).toEqual([0, -1, 2000, -(2 ** 40), -(2 ** 63)]);
    expect([...toFloat32(bytes(BigUint64Array.of(2n ** 64n - 1n)), "U64")]).toEqual([2 ** 64]);
    // Just past the middle of two floats: through a rounded double it would go to the lower one.
    const past = 2n ** 62n + 2n ** 38n + 1n;
    expect([...toFloat32(bytes(BigInt64Array.of(past, -past)), "I64")]).toEqual([
      2 ** 62 + 2 ** 39,
      -(2 ** 62 + 2 ** 39),
    ]);
    expect([...toFloat32(bytes(Int32Array.of(-5)), "I32")]).toEqual([-5]);
    expect([...toFloat32(bytes(Uint32Array.of(4294967295)), "U32")]).toEqual([2 ** 32]);
    expect([...toFloat32(bytes(Int16Array.of(-5)), "I16")]).toEqual([-5]);
    expect([...toFloat32(bytes(Uint16Array.of(65535)), "U16")]).toEqual([65535]);
    expect([...toFloat32(bytes(Int8Array.of(-5)), "I8")]).toEqual([-5]);
    expect([...toFloat32(Uint8Array.of(0, 1, 255), "U8")]).toEqual([0, 1, 255]);
    expect([...toFloat32(Uint8Array.of(0, 1, 7), "BOOL")]).toEqual([0, 1, 1]);
    expect([...toFloat32(bytes(Float64Array.of(1.5, 0.1)), "F64")]).toEqual([1.5, Math.fround(0.1)]);
  });

  it("reads from any alignment", () => {
    const odd = new Uint8Array(9);
    odd.set(new Uint8Array(Float32Array.of(1.25, -2).buffer), 1);
    expect([...toFloat32(odd.subarray(1), "F32")]).toEqual([1.25, -2]);
  });
});

describe("float32ToFloat16", () => {
  it("gives back every half it is given", () => {
    const all = Uint16Array.from({ length: 65536 }, (_, i) => i);
    const back = float32ToFloat16(toFloat32(new Uint8Array(all.buffer), "F16"));
    const wrong = [...back].findIndex((bits, i) => bits !== i && !Number.isNaN(half(i)));
    expect(wrong).toBe(-1);
    expect(Number.isNaN(half(back[0x7c01]!)) && Number.isNaN(half(back[0xfe00]!))).toBe(true);
  });

  it("rounds to the nearest half, ties to even, between every two neighbours", () => {
    for (let bits = 0; bits < 0x7bff; bits++) {
      const middle = (half(bits) + half(bits + 1)) / 2;
      float[0] = middle;
      const exact = word[0]!;
      word[0] = exact - 1;
      const below = float[0]!;
      word[0] = exact + 1;
      const above = float[0]!;
      const rounded = float32ToFloat16(Float32Array.of(below, middle, above, -middle));
      const even = bits & 1 ? bits + 1 : bits;
      if (String([...rounded]) !== String([bits, even, bits + 1, even | 0x8000]))
        expect.fail(`at ${bits}: ${rounded}`);
    }
  });

  it("overflows to infinity at 65520 and not before", () => {
    expect([...float32ToFloat16(Float32Array.of(65519.996, 65520, 1e38, -1e38))]).toEqual([
      0x7bff, 0x7c00, 0x7c00, 0xfc00,
    ]);
  });
});

describe("elementCount", () => {
  it("counts, and refuses what no tensor has", () => {
    expect(elementCount([])).toBe(1);
    expect(elementCount([0, 2 ** 40, 2 ** 40])).toBe(0);
    expect(elementCount([2 ** 30, 2 ** 30])).toBeUndefined();
    expect(elementCount([-1])).toBeUndefined();
    expect(elementCount([1.5])).toBeUndefined();
  });
});
