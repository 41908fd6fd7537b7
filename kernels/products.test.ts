import { expect, it } from "vitest";
import { poisoned, sharedLoadHost, testGpu } from "../test/gpu.ts";
import type { KernelHost, WeightLayout } from "./kernel.ts";
import { type Matrix, slicesOf } from "./matrix.ts";
import { rowsFor, rowsThatFit } from "./products.ts";

const gpu = await testGpu();
const buffer = poisoned(gpu, "no weights", 4);
const matrix = (rows: number, columns: number, layout: WeightLayout = "interleaved"): Matrix => ({
  buffer,
  rows,
  columns,
  format: "f16",
  layout,
});

/** A host like a GPU, whose tuning allows `most` rows. */
const host = (most: number): KernelHost => ({ ...sharedLoadHost(gpu, 0), rowsPerWorkgroup: most });

it("gives a workgroup fewer rows of an interleaved matrix where it has few, but each of 64 threads a slice", () => {
  const sizes: [rows: number, columns: number, expected: number][] = [
    [32000, 2048, 16],
    [2048, 2048, 8],
    [1024, 2048, 4],
    [768, 3072, 2],
    [768, 768, 4],
    [512, 256, 8],
    [2, 1, 16],
  ];
  for (const [rows, columns, expected] of sizes) {
    const count = rowsFor(host(16), matrix(rows, columns));
    expect(count, `${rows} by ${columns}`).toBe(expected);
    expect(count * slicesOf(columns) >= 64 || count === 16).toBe(true);
  }
});

it("never gives more rows than the tuning allows, or than a workgroup has room for", () => {
  const room = 4 * 1024;
  const wide = matrix(50304, room);
  expect(rowsFor(host(2), matrix(50304, 768))).toBe(2);
  expect(rowsFor(host(64), wide)).toBeLessThanOrEqual(rowsThatFit(host(64), room));
  for (const sets of [1, 3]) {
    const count = rowsFor(host(16), matrix(256 * sets, 256), 256, sets);
    expect(count * sets).toBeLessThanOrEqual(16);
    expect(count).toBeGreaterThanOrEqual(2);
    expect(rowsFor(host(2), matrix(256 * sets, 256), 256, sets)).toBeGreaterThanOrEqual(1);
  }
});

it("leaves rows that are not interleaved to the tuning", () => {
  expect(rowsFor(host(16), matrix(768, 768, "rows"))).toBe(16);
});
