import { describe, expect, it } from "vitest";
import { bytesSource } from "./byte-source.ts";
import { dtypeSize } from "./dtype.ts";
import { checkView, readView, type StridedView } from "./strided.ts";
import { seeded } from "./testing/pickle-assembler.ts";

/** The definition: element by element, in row-major order. */
function naive(storage: Uint8Array, view: StridedView): number[] {
  const size = dtypeSize(view.dtype);
  const out: number[] = [];
  const walk = (axis: number, at: number): void => {
    if (axis === view.shape.length) {
      out.push(...storage.subarray(at * size, at * size + size));
      return;
    }
    for (let i = 0; i < view.shape[axis]!; i++) walk(axis + 1, at + i * view.strides[axis]!);
  };
  walk(0, view.offset);
  return out;
}

describe("readView", () => {
  it("agrees with the definition on random views of every element size, or they are refused", async () => {
    const random = seeded(4);
    const pick = (n: number) => Math.floor(random() * n);
    const storage = Uint8Array.from({ length: 4096 }, () => pick(256));
    let read = 0;
    for (let i = 0; i < 3000; i++) {
      const shape = Array.from({ length: pick(4) }, () => pick(6));
      const view: StridedView = {
        dtype: (["U8", "F16", "F32", "F64"] as const)[pick(4)]!,
        shape,
        strides: shape.map(() => pick(20)),
        offset: pick(50),
      };
      try {
        checkView("view", view, storage.length);
      } catch {
        continue;
      }
      const source = bytesSource("storage", new Uint8Array([9, 9, 9, ...storage]));
      const expected = naive(storage, view);
      expect([...(await readView(source, 3, view))], JSON.stringify(view)).toEqual(expected);
      const from = pick(expected.length + 1);
      const to = from + pick(expected.length - from + 1);
      expect([...(await readView(source, 3, view, from, to))]).toEqual(expected.slice(from, to));
      read++;
    }
    expect(read).toBeGreaterThan(1500);
  });

  it("reads a column of a large storage, and a large transpose, through small windows", async () => {
    const rows = 3000;
    const columns = 1000;
    const storage = Float32Array.from({ length: rows * columns }, (_, i) => i);
    const inner = bytesSource("storage", new Uint8Array(storage.buffer));
    let largest = 0;
    let total = 0;
    const source = {
      ...inner,
      read: (offset: number, length: number) => {
        largest = Math.max(largest, length);
        total += length;
        return inner.read(offset, length);
      },
    };
    const view = { dtype: "F32", offset: 7 } as const;
    const column = await readView(source, 0, { ...view, shape: [rows, 1], strides: [columns, 1] });
    expect(new Float32Array(column.buffer)).toEqual(
      Float32Array.from({ length: rows }, (_, i) => i * columns + 7),
    );
    const transposed = new Float32Array(
      (await readView(source, 0, { dtype: "F32", offset: 0, shape: [columns, rows], strides: [1, columns] }))
        .buffer,
    );
    const wrong = transposed.findIndex((value, i) => value !== (i % rows) * columns + Math.floor(i / rows));
    expect(wrong).toBe(-1);
    expect(largest).toBeLessThanOrEqual(4 * 2 ** 20);
    expect(total).toBeLessThanOrEqual(2 * storage.byteLength + 16);
  });
});
