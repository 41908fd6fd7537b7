import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterAll, expect, it } from "vitest";
import { parseConfig } from "../../engine/config.ts";
import { DispatchTimer } from "../../engine/device/dispatch-timer.ts";
import { defaultModelFolder, openModelFolder } from "../../engine/platform/node/files.ts";
import { add } from "../../kernels/add/add.ts";
import { addReference } from "../../kernels/add/reference.ts";
import { testGpu } from "../../test/gpu.ts";
import { randomFloats } from "../kernels/given.ts";
import { kernelCase, nearest } from "../kernels/kernel-case.ts";
import { benchCases } from "../registry.ts";
import { type Bench, type BenchCase, chosen, fullName, runCases } from "./case.ts";
import { less } from "./row.ts";

const gpu = await testGpu();
const timer = new DispatchTimer(gpu);
afterAll(() => timer.destroy());
const files = await openModelFolder(await defaultModelFolder());
const native = parseConfig(files.config, "config.json");
await files.close();

const none = () => Promise.reject(new Error("no case of this test needs a model"));

const bench = (): Bench => ({
  gpu,
  timer,
  quick: true,
  rounds: 1,
  sample: 1,
  uncached: 1,
  ceilings: {},
  native,
  model: none,
  folder: none,
  unchecked: none,
  apart: none,
});

/** Compares the kernel `add` with its reference, whose last value `change` has altered. */
const adding = (name: string, change: (value: number) => number): BenchCase =>
  kernelCase(name, (given) => {
    const [h, x] = [randomFloats(1, 256), randomFloats(2, 256)];
    const sum = given.upload("h", h);
    const right = addReference(h, x, 256, 256).map((value, i) => (i === 255 ? change(value) : value));
    return [
      {
        name,
        run: { rows: 1, length: 1 },
        lists: [[add(given.host, 256, { x: given.upload("x", x), h: sum })]],
        bytes: 3072,
        flops: 256,
        compare: async () => [await given.floats(sum), right],
      },
    ];
  });

it("fails a case whose result is wrong, does not time it, and continues", async () => {
  const before = gpu.bytes;
  const wrong = adding("wrong", (value) => value + 0.01);
  let timed = 0;
  const watched: BenchCase = {
    ...wrong,
    async open(on) {
      const opened = await wrong.open(on);
      return {
        ...opened,
        measure() {
          timed++;
          return opened.measure();
        },
      };
    },
  };
  const { rows, failures } = await runCases([watched, adding("right", (value) => value)], bench());
  expect(rows.map(({ name }) => name)).toEqual(["right"]);
  expect(rows[0]?.value).toBeGreaterThan(0);
  expect(failures).toHaveLength(1);
  expect(failures[0]).toMatchObject({ group: "kernels", name: "wrong" });
  expect(failures[0]?.message).toMatch(/wrong: its error is 0\.0\d+, more than 0\.000003/);
  expect(timed).toBe(0);
  expect(gpu.bytes).toBe(before);
});

it("fails a case whose measurement is not finite", async () => {
  const endless: BenchCase = {
    group: "native",
    name: "endless",
    open: () => ({
      check: async () => {},
      measure: async () => [less("for ever", Number.POSITIVE_INFINITY, "s")],
    }),
  };
  const { rows, failures } = await runCases([endless], bench());
  expect(rows).toEqual([]);
  expect(failures[0]?.message).toContain("for ever");
});

it("measures the ceilings, and compares kernels with them", async () => {
  const on = bench();
  const ceilings = chosen(benchCases(true), ["ceilings"]);
  const { rows, failures } = await runCases([...ceilings, adding("add", (value) => value)], on);
  expect(failures).toEqual([]);
  for (const value of [on.ceilings.bytesPerSecond, on.ceilings.flopsPerSecond, on.ceilings.dispatch]) {
    expect(value).toBeGreaterThan(0);
  }
  const last = rows.at(-1);
  expect(last).toMatchObject({ group: "kernels", bound: "dispatch", timed: timer.timed });
  expect(last?.share).toBeGreaterThan(0);
});

it("names the ceiling nearest to a kernel", () => {
  const ceilings = { bytesPerSecond: 1e9, flopsPerSecond: 1e12, dispatch: 5 };
  const cost = { bytes: 1e6, flops: 1e6, dispatches: 1 };
  expect(nearest(cost, 0.002, ceilings)).toEqual({ share: 0.5, bound: "bandwidth" });
  expect(nearest({ ...cost, flops: 1e10 }, 0.02, ceilings)).toEqual({ share: 0.5, bound: "arithmetic" });
  expect(nearest({ ...cost, bytes: 10, dispatches: 2 }, 1e-5, ceilings)).toEqual({
    share: 1,
    bound: "dispatch",
  });
  expect(nearest(cost, 1, {})).toEqual({});
});

it("has a case for every operation under kernels", () => {
  const folder = fileURLToPath(new URL("../../kernels", import.meta.url));
  const operations = readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && entry.name !== "lib")
    .map(({ name }) => name);
  const cases = benchCases(false).filter(({ group }) => group === "kernels");
  const missing = operations.filter(
    (operation) => !cases.some(({ name }) => name.split(" ")[0] === operation),
  );
  expect(missing).toEqual([]);
});

it("has unique case names, and finds cases by their group or a part of their name", () => {
  const all = benchCases(false);
  const names = all.map(({ group, name }) => `${group}: ${name}`);
  expect(new Set(names).size).toBe(names.length);
  expect(chosen(all, [])).toEqual(all.filter(({ onlyNamed }) => !onlyNamed));
  expect(chosen(all, ["native: load"]).map(fullName)).toEqual(["native: load"]);
  expect(new Set(chosen(all, ["Ceilings"]).map(({ group }) => group))).toEqual(new Set(["ceilings"]));
  const found = chosen(all, ["layer-norm", "models: tinyllama-1.1b q8", "models: tinyllama-1.1b q4"]).map(
    ({ name }) => name,
  );
  expect(found).toEqual(["layer-norm", "tinyllama-1.1b q8", "tinyllama-1.1b q4"]);
  expect(chosen(all, ["no such"])).toEqual([]);
});
