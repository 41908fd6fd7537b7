import { readdirSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { randomFloats, relativeError } from "../../test/gpu.ts";
import { fixturePath, openGolden } from "../../test/models.ts";
import { Readout } from "./readout.ts";

const WITH_MEMORY = readdirSync(fixturePath("goldens"))
  .filter((file) => /^afrb_.*_pvm.*\.safetensors$/.test(file))
  .map((file) => file.slice(0, -".safetensors".length));

describe("a memory's readout", () => {
  it("is in all golden files of a block with a vector memory", () => expect(WITH_MEMORY).toHaveLength(14));

  it.each(WITH_MEMORY)(
    "is the reference's in %s, of all positions and of the three most similar",
    async (name) => {
      const file = await openGolden(name);
      const [trace, query] = [await file.float32("pvm_trace"), await file.float32("query")];
      for (const [readout, tensor] of [
        [new Readout(query), "readout_all"],
        [new Readout(query, 3), "readout_top3"],
      ] as const) {
        readout.add(trace);
        expect(relativeError(readout.read(), await file.float32(tensor)), tensor).toBeLessThan(1e-6);
      }
    },
  );

  it("of as many as there are, or more, is that of all, and of one is the most similar row", () => {
    const trace = randomFloats(1, 10 * 4);
    const query = randomFloats(2, 4);
    const read = (most?: number): Float64Array => {
      const readout = new Readout(query, most);
      readout.add(trace.subarray(0, 12));
      readout.add(trace.subarray(12));
      return readout.read();
    };
    expect(relativeError(read(10), read())).toBeLessThan(1e-14);
    expect(relativeError(read(99), read())).toBeLessThan(1e-14);
    const rows = Array.from({ length: 10 }, (_, t) => Array.from(trace.subarray(4 * t, 4 * t + 4)));
    const cosine = (row: number[]) => row.reduce((sum, v, d) => sum + v * query[d]!, 0) / Math.hypot(...row);
    const best = rows.toSorted((a, b) => cosine(b) - cosine(a))[0]!;
    expect(relativeError(read(1), best)).toBeLessThan(1e-14);
  });

  it("weighs rows of zeros, and rows for a query of zeros, by a cosine of 0", () => {
    const zeros = new Readout([3, 0]);
    zeros.add(Float32Array.of(0, 0, 2, 0));
    expect(Array.from(zeros.read())).toEqual([expect.closeTo((2 * Math.E) / (1 + Math.E), 12), 0]);
    const even = new Readout([0, 0]);
    even.add(Float32Array.of(1, 0, 0, 3));
    expect(Array.from(even.read())).toEqual([0.5, 1.5]);
  });

  it("is refused of no rows and of no positions", () => {
    expect(() => new Readout([1]).read()).toThrow("no rows");
    for (const most of [0, -1, 1.5, Number.NaN]) expect(() => new Readout([1], most)).toThrow("most");
  });
});
