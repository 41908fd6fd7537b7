import { afterEach, describe, expect, it } from "vitest";
import { testGpu } from "../../test/gpu.ts";
import { generated, loadTiny } from "../../test/models.ts";
import { refusal } from "../../weights/testing/fixtures.ts";
import { requestAdapter } from "../platform/node/device.ts";
import type { ProductShape } from "../product-shape.ts";
import { Gpu } from "./gpu.ts";
import { tune } from "./tune.ts";
import {
  defaultTuning,
  mostSharedLoadLanes,
  rowsPerWorkgroupChoices,
  sharedLoadLanesChoices,
  type Tuning,
  tiledDecodeFromChoices,
} from "./tuning.ts";

const gpu = await testGpu();

/** An odd shape, wider than a slice and of many rows; products of one shape share their kernels. */
const products: readonly ProductShape[] = [
  { name: "up", rows: 300, columns: 41, count: 3 },
  { name: "head", rows: 300, columns: 41, count: 1 },
];

const own: Gpu[] = [];
async function tuned(tuning?: Tuning): Promise<Gpu> {
  const opened = await Gpu.open(await requestAdapter(), "its own", tuning);
  own.push(opened);
  return opened;
}
afterEach(() => {
  for (const opened of own.splice(0)) opened.destroy();
});

describe("tune", () => {
  it("gives candidates of the device with what each took, and leaves nothing on it", async () => {
    const before = gpu.bytes;
    const { tuning, standard, timed, measured } = await tune(gpu, products, {
      samples: 1,
      milliseconds: 1,
      weightBytes: 1,
    });
    expect(gpu.bytes).toBe(before);
    expect(timed).toBe(gpu.device.features.has("timestamp-query") ? "gpu" : "host");
    expect(standard).toEqual(defaultTuning(gpu.kind, gpu.mostSharedLoadLanes));
    const laneCounts = sharedLoadLanesChoices.filter((lanes) => lanes <= gpu.mostSharedLoadLanes);
    expect(laneCounts).toContain(tuning.sharedLoadLanes);
    expect(tiledDecodeFromChoices).toContain(tuning.tiledDecodeFrom);
    const taken = (choice: keyof Tuning) => measured.filter((of) => of.choice === choice);
    for (const rows of [1, 64]) {
      expect(
        taken("sharedLoadLanes")
          .filter((of) => of.rows === rows)
          .map(({ sharedLoadLanes }) => sharedLoadLanes),
      ).toEqual(laneCounts);
    }
    if (tuning.sharedLoadLanes > 0) expect(tuning.rowsPerWorkgroup).toBe(64);
    else
      expect(taken("rowsPerWorkgroup").map(({ rowsPerWorkgroup }) => rowsPerWorkgroup)).toContain(
        tuning.rowsPerWorkgroup,
      );
    // Both ways are measured at the chosen number of rows and at half of it, if that was a candidate.
    const rows = taken("tiledDecodeFrom").map((of) => of.rows);
    for (const count of [tuning.tiledDecodeFrom, tuning.tiledDecodeFrom / 2]) {
      if (count >= 2 && count <= 16) expect(rows.filter((each) => each === count)).toHaveLength(2);
    }
    for (const { microseconds } of measured) {
      expect(Object.keys(microseconds)).toEqual(["f32", "f16"]);
      expect(Math.min(...Object.values(microseconds))).toBeGreaterThan(0);
    }
  });

  it("measures every number of rows that workgroups can take, where no lanes share loads", async () => {
    const adapter = await requestAdapter();
    const few = new Proxy(adapter, {
      get: (of, key) => {
        const value: unknown = key === "features" ? new Set(["timestamp-query"]) : Reflect.get(of, key, of);
        return typeof value === "function" ? value.bind(of) : value;
      },
    });
    const opened = await Gpu.open(few, "without subgroups");
    own.push(opened);
    const { measured } = await tune(opened, products, { samples: 1, milliseconds: 1, weightBytes: 1 });
    const counts = measured.filter(({ choice }) => choice === "rowsPerWorkgroup");
    expect(counts.map(({ rowsPerWorkgroup }) => rowsPerWorkgroup)).toEqual([...rowsPerWorkgroupChoices]);
  });

  it("scales a part of the matrices up to the whole model", async () => {
    const many = products.map((of) => ({ ...of, count: 1000 * of.count }));
    const options = { samples: 3, milliseconds: 2, weightBytes: 1 };
    const first = async (of: readonly ProductShape[]) => (await tune(gpu, of, options)).measured[0]!;
    const [few, thousand] = [await first(products), await first(many)];
    const ratio = thousand.microseconds.f32 / few.microseconds.f32;
    // Both measure the same dispatches; noise alone does not make a factor of 1000.
    expect(ratio).toBeGreaterThan(50);
  });

  it("frees what it took when the device has no room for the weights", async () => {
    const opened = await tuned();
    const { createBuffer } = opened.device;
    let left = 5;
    opened.device.createBuffer = (descriptor) => {
      if (left-- === 0) throw new Error("no room");
      return createBuffer.call(opened.device, descriptor);
    };
    await expect(tune(opened, products, { weightBytes: 1 })).rejects.toThrow("no room");
    expect(opened.bytes).toBe(0);
  });
});

describe("a tuning", () => {
  it("asks for lanes only where subgroups have them", () => {
    const features = new Set(["subgroups"]);
    expect([0, 3, 4, 7, 8, 32].map((size) => mostSharedLoadLanes(features, size))).toEqual([
      0, 0, 4, 4, 8, 8,
    ]);
    expect(mostSharedLoadLanes(new Set(), 32)).toBe(0);
    expect(defaultTuning("software", 8)).toEqual({
      sharedLoadLanes: 8,
      rowsPerWorkgroup: 64,
      tiledDecodeFrom: 4,
    });
    expect(defaultTuning("software", 0)).toEqual({
      sharedLoadLanes: 0,
      rowsPerWorkgroup: 64,
      tiledDecodeFrom: 8,
    });
    expect(defaultTuning("nvidia", 8)).toEqual({
      sharedLoadLanes: 0,
      rowsPerWorkgroup: 16,
      tiledDecodeFrom: 8,
    });
  });

  it("that asks for more lanes than the adapter has is refused", async () => {
    const adapter = await requestAdapter();
    const few = new Proxy(adapter, {
      get: (of, key) => (key === "features" ? new Set() : Reflect.get(of, key, of)),
    });
    const error = await refusal(
      Gpu.open(few, "few", { sharedLoadLanes: 8, rowsPerWorkgroup: 64, tiledDecodeFrom: 2 }),
    );
    expect(error).toMatchObject({ code: "invalid_argument", where: "tuning.sharedLoadLanes" });
  });

  it("of any numbers gives the same tokens and the same state, bit for bit, of one stream and of several", async () => {
    const laneCounts = sharedLoadLanesChoices.filter((lanes) => lanes <= gpu.mostSharedLoadLanes);
    // Three streams are tiles from 2 on, and rows from 4 on: with as many rows in a workgroup, and as few, as there may be.
    const tunings = [
      ...laneCounts.map(
        (sharedLoadLanes): Tuning => ({
          sharedLoadLanes,
          rowsPerWorkgroup: sharedLoadLanes === 0 ? 8 : 64,
          tiledDecodeFrom: 2,
        }),
      ),
      { sharedLoadLanes: 0, rowsPerWorkgroup: 32, tiledDecodeFrom: 4 } as const,
    ];
    const said = async (tuning?: Tuning) => {
      const opened = await tuned(tuning);
      if (tuning) expect({ ...opened.tuning }).toEqual(tuning);
      const model = await loadTiny(opened, { slots: 3 });
      const told = (seed: number) => generated(model, [65], { maxTokens: 6, temperature: 1, seed });
      const alone = await told(1);
      const together = await Promise.all([told(1), told(2), told(3)]);
      expect(together[0]).toEqual(alone);
      return together.map(({ tokens, saved }) => ({ tokens, saved }));
    };
    const standard = await said();
    expect(standard[0]?.tokens).toHaveLength(6);
    for (const tuning of tunings) expect(await said(tuning), JSON.stringify(tuning)).toEqual(standard);
  });
});
